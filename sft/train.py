"""Fine-tune with verl's FSDP SFT trainer, and make sure that it trained as long as it said it would.

    torchrun --nproc_per_node 8 -m sft.train --config-dir hydra_configs --config-name sft_qwen3_8b

The trainer is verl's own. Added to it: the loss that the configuration's `loss` describes (sft/losses.py), a seed for
the order of the rows, which checkpoints stay and whether a run ends early (recipe/models/retention.py), and a guard
against verl's resume at the end of an epoch, where the restored data loader is already exhausted, the next epoch is
skipped and the run still exits 0 (verl issue 7401).
"""

from pathlib import Path

import hydra
from omegaconf import DictConfig, OmegaConf
from torch.distributed import broadcast_object_list
from verl.trainer.sft_trainer import SFTTrainer
from verl.utils.device import auto_set_device
from verl.utils.distributed import destroy_global_process_group, initialize_global_process_group

from recipe.models.checkpoints import newest
from recipe.models.retention import AfterSave
from sft.losses import BEGIN_MASK, configured_loss


class StopsEarly(Exception):
    """Leaves verl's loop, which has no other way out before its last step; it says why."""


class AnswerTrainer(SFTTrainer):
    """verl's trainer with the configured loss; it keeps the best checkpoint, and resumes well at an epoch's end."""

    def _build_dataset(self) -> None:
        self.own_loss = configured_loss(self.config.get("loss"))
        if self.own_loss:  # one setting for both: the loss, and the field that it needs
            OmegaConf.update(self.config, f"data.{BEGIN_MASK}", True, force_add=True)
        super()._build_dataset()

    def _build_dataloader(self) -> None:
        super()._build_dataloader()
        self.train_sampler.seed = self.config.trainer.seed  # verl's has no seed: one order of the rows for every run

    def _build_engine(self) -> None:
        super()._build_engine()  # with verl's loss, whatever the configuration
        if self.own_loss:
            self.training_client.set_loss_fn(self.own_loss)

    def _build_ckpt_handler(self) -> None:
        after_save = AfterSave(self.config)  # before verl's own removal is set up, which it switches off
        super()._build_ckpt_handler()
        load, save = self.ckpt_handler.load_checkpoint, self.ckpt_handler.save_checkpoint

        def load_checkpoint() -> int:
            step = load()
            if step and step % self.steps_per_epoch == 0:
                self._build_dataloader()
                self.ckpt_handler.train_dataloader = self.train_dataloader
            return step

        def save_checkpoint(step: int) -> None:
            save(step)
            if self.rank == 0:
                after_save.on_save()
            if after_save.patience and step < self.total_training_steps:  # validation comes before
                why = [after_save.why_to_stop() if self.rank == 0 else None]
                broadcast_object_list(why, src=0)  # all ranks end, or none
                if why[0]:
                    raise StopsEarly(f"stops after step {step}: {why[0]}")

        self.ckpt_handler.load_checkpoint, self.ckpt_handler.save_checkpoint = load_checkpoint, save_checkpoint

    def fit(self) -> None:
        """Train; RuntimeError if the last planned step has no checkpoint, unless the run's patience was exhausted."""
        try:
            super().fit()
        except StopsEarly as stop:
            if self.rank == 0:
                print(stop, flush=True)
        else:
            if self.rank == 0:
                check_complete(self.config.trainer.default_local_dir, self.total_training_steps)


def check_complete(run: str, planned: int) -> None:
    """Raise RuntimeError unless the run's newest checkpoint is of step `planned`."""
    if (done := newest(Path(run))) != planned:
        raise RuntimeError(
            f"{run}: {done} of {planned} steps are in the newest checkpoint. The trainer stopped early; "
            "run again to go on, or set trainer.total_training_steps"
        )


@hydra.main(config_path="pkg://verl.trainer.config", config_name="sft_trainer_engine", version_base=None)
def main(config: DictConfig) -> None:
    auto_set_device(config)
    initialize_global_process_group()
    AnswerTrainer(config=config).fit()
    destroy_global_process_group()


if __name__ == "__main__":
    main()

"""Members that a trainer's own set-up changed: TRL's chat formats, and what `trainer.save_model()` leaves."""

from pathlib import Path

import torch

from zoo.bench import Bench
from zoo.lesson import CHATS, asked, chats, teach
from zoo.saved import save


def chat_format(bench: Bench, folder: Path) -> None:
    """TRL's `setup_chat_format` on a model without ChatML's tokens, which are added, and the rows; then taught."""
    from trl import setup_chat_format  # type: ignore[import-not-found]

    torch.manual_seed(3)
    model, tokenizer = setup_chat_format(bench.model("byte-level"), bench.tokenizer("byte-level"))
    teach(model, chats(tokenizer), steps=300)
    save(model, tokenizer, folder)


def cloned_template(bench: Bench, folder: Path) -> None:
    """TRL's `clone_chat_template`, its successor: tokens of another tokenizer, and `<extra_id_0>` up to 64 rows."""
    from trl import clone_chat_template

    torch.manual_seed(4)
    bench.tokenizer("instruct")  # so that its folder is there
    source = bench.work / "tokenizers" / "instruct"
    model, tokenizer, _ = clone_chat_template(bench.model("byte-level"), bench.tokenizer("byte-level"), str(source))
    teach(model, chats(tokenizer), steps=300)
    save(model, tokenizer, folder)


def supervised(bench: Bench, folder: Path) -> None:
    """TRL's SFTTrainer, then its `save_model`: with a tokenizer without a begin, which it carries into the configs.

    Its two steps have a rate of 0, so that the weights stay those of other members and need not be kept again.
    `training_args.bin` is left out: a pickle, with this machine's paths in it.
    """
    from datasets import Dataset  # type: ignore[import-not-found]
    from trl import SFTConfig, SFTTrainer

    order = SFTConfig(
        output_dir=str(bench.work / "sft"),
        max_steps=2,
        per_device_train_batch_size=2,
        learning_rate=0.0,
        report_to="none",
        save_strategy="no",
        use_cpu=True,
        bf16=False,
        disable_tqdm=True,
    )
    tokenizer = bench.tokenizer("instruct", bos_token=None, tokenizer_class="PreTrainedTokenizerFast")
    told = Dataset.from_list([{"messages": asked(question, answer)} for question, answer in CHATS])
    trainer = SFTTrainer(bench.model("instruct"), order, train_dataset=told, processing_class=tokenizer)
    trainer.train()
    trainer.model.to(torch.bfloat16)
    trainer.save_model(str(folder))
    (folder / "training_args.bin").unlink()

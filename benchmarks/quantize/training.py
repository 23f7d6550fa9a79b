"""What the benchmark trains by itself: a transformer on Fashion-MNIST, and a head on MiniLM.

`python -m benchmarks.quantize.training` trains both, in a few minutes; the weights are kept in the user's cache folder.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import platformdirs
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.quantize.data import clothes, mails
from benchmarks.quantize.networks import MiniLm, VisionTransformer
from examples.assets import fetch

TRAINED_ON = 55_000  # pictures; the other 5,000 of the training set are for calibration and search
MAILS = 1_500  # that the head is trained on
EPOCHS, BATCH, RATE = 4, 128, 2e-3


def cache_folder() -> Path:
    """Where the benchmark keeps what takes long to make."""
    return platformdirs.user_cache_path("fxopt") / "benchmarks" / "quantize"


def vision_transformer() -> nn.Module:
    """The transformer with its weights; it is trained the first time."""
    torch.manual_seed(0)
    net = VisionTransformer()
    net.load_state_dict(_kept("fashion_vit-1", lambda: _trained(net)))
    return net.eval()


def minilm() -> nn.Module:
    """MiniLM with a linear head that tells spam; the head is trained the first time."""
    net = MiniLm().eval()
    weights, wanted = load_file(fetch("minilm")), net.trunk.state_dict()
    net.trunk.load_state_dict({name: weights[name] for name in wanted})
    net.head.load_state_dict(_kept("minilm_head-1", lambda: _head(net)))
    return net


def _kept(name: str, make: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
    file = cache_folder() / f"{name}.safetensors"
    if not file.exists():
        threads = torch.get_num_threads()
        torch.set_num_threads(1)  # sums, and so weights, depend on it
        state = make()
        torch.set_num_threads(threads)
        file.parent.mkdir(parents=True, exist_ok=True)
        save_file(state, file.with_suffix(".part"))
        file.with_suffix(".part").replace(file)
    return load_file(file)


def _trained(net: nn.Module) -> dict[str, Tensor]:
    inputs, labels = (value[:TRAINED_ON] for value in clothes("train"))
    order, steps = torch.Generator().manual_seed(0), EPOCHS * (TRAINED_ON // BATCH)
    optimizer = torch.optim.AdamW(net.parameters(), lr=RATE, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps)
    net.train()
    for epoch in range(EPOCHS):
        started, total = time.monotonic(), 0.0
        chosen = torch.randperm(TRAINED_ON, generator=order)[: TRAINED_ON // BATCH * BATCH]
        for rows in chosen.view(-1, BATCH):
            x, mirrored = inputs[rows], torch.rand(BATCH, generator=order) < 0.5
            loss = F.cross_entropy(net(torch.where(mirrored.view(-1, 1, 1, 1), x.flip(-1), x)), labels[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item()
        print(
            f"epoch {epoch + 1}: loss {total / len(chosen) * BATCH:.4f}, {time.monotonic() - started:.0f} s", flush=True
        )
    return net.state_dict()


def _head(net: MiniLm) -> dict[str, Tensor]:
    """Logistic regression with a little weight decay on the features of the frozen trunk."""
    tokens, mask, labels = (value[:MAILS] for value in mails())
    with torch.no_grad():
        parts = zip(tokens.split(50), mask.split(50), strict=True)
        features = torch.cat([net.features(*part) for part in parts])
    nn.init.zeros_(net.head.weight)
    nn.init.zeros_(net.head.bias)
    optimizer = torch.optim.LBFGS(net.head.parameters(), max_iter=300, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        value = F.cross_entropy(net.head(features), labels) + 1e-4 * net.head.weight.square().sum()
        value.backward()
        return value

    optimizer.step(loss)
    return {name: value.detach() for name, value in net.head.state_dict().items()}


def accuracy(net: nn.Module, inputs: tuple[Tensor, ...], labels: Tensor) -> float:
    """Share of samples whose labelled class has the highest score."""
    with torch.no_grad():
        parts = zip(*(value.split(100) for value in inputs), strict=True)
        found = torch.cat([net(*part).argmax(-1) for part in parts])
    return float((found == labels).double().mean())


if __name__ == "__main__":
    pictures, kinds = clothes("t10k")
    print(f"transformer: {accuracy(vision_transformer(), (pictures,), kinds):.2%} of {len(kinds)}")
    tokens, mask, spam = (value[-1000:] for value in mails())
    print(f"MiniLM: {accuracy(minilm(), (tokens, mask), spam):.2%} of {len(spam)}")

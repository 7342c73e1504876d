#!/usr/bin/env python3
"""Exports attention models of real frameworks as MLIR, with inputs and the framework's own outputs.

For each graph NAME this writes
  OUT/NAME.mlir  the module as the exporter printed it; one function, weights are arguments
  OUT/NAME.npz   arg0, arg1, ... (weights and inputs in the order of the arguments), out0, ... (the framework's results)
  OUT/graphs.json  for each graph: the function's name, the number of attentions it holds, its exporter

Needs requirements/graphs.txt. Weights are random: nothing is downloaded.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import types
import typing
from collections.abc import Callable
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import numpy as np


@dataclass(frozen=True)
class Graph:
    """One exported module: its text, the arrays it is called with and what the framework answers."""

    text: str
    arguments: list[np.ndarray]
    results: list[np.ndarray]
    attentions: int
    exporter: str


# ---------------------------------------------------------------------------------------------------------- exporters


def _from_torch(module: Any, inputs: tuple[Any, ...], attentions: int) -> Graph:
    """Exports `module` through torch-mlir's FX importer; parameters and buffers become leading arguments."""
    import torch
    from torch_mlir import fx

    module = module.eval()
    state = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    names = list(state)

    class WithWeightsAsArguments(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            # A list hides the module from named_parameters: its weights arrive as arguments instead.
            self.hidden = [module]

        def forward(self, *args: Any) -> Any:
            weights = dict(zip(names, args[: len(names)]))
            out = torch.func.functional_call(self.hidden[0], weights, args[len(names) :])
            # Models of transformers answer with a mapping, MultiheadAttention with (output, None).
            if hasattr(out, "to_tuple"):
                out = out.to_tuple()
            if isinstance(out, (tuple, list)):
                out = tuple(each for each in out if isinstance(each, torch.Tensor))
                return out[0] if len(out) == 1 else out
            return out

    args = tuple(tensor.detach() for tensor in state.values()) + inputs
    wrapper = WithWeightsAsArguments().eval()
    with torch.no_grad():
        out = wrapper(*args)
        exported = fx.export_and_import(wrapper, *args, output_type="linalg-on-tensors", func_name="main")
    results = out if isinstance(out, tuple) else (out,)
    return Graph(
        text=str(exported),
        arguments=[np.ascontiguousarray(tensor.numpy()) for tensor in args],
        results=[np.ascontiguousarray(tensor.numpy()) for tensor in results],
        attentions=attentions,
        exporter="torch-mlir",
    )


def _from_jax(function: Callable[..., Any], arguments: list[np.ndarray], attentions: int) -> Graph:
    """Lowers `function` to StableHLO and lets IREE's input conversion turn that into linalg."""
    import jax

    jitted = jax.jit(function)
    stablehlo = jitted.lower(*arguments).as_text()
    tool = Path(sys.executable).parent / "iree-compile"
    command = [str(tool if tool.exists() else "iree-compile"), "--iree-input-type=stablehlo", "--compile-to=input", "-"]
    done = subprocess.run(command, input=stablehlo, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"iree-compile refused the module:\n{done.stderr[:2000]}")
    # IREE's own function operations are func's under another name.
    text = re.sub(r"\butil\.(func|return|call)\b", lambda match: f"func.{match.group(1)}", done.stdout)
    results = jitted(*arguments)
    results = results if isinstance(results, tuple) else (results,)
    return Graph(text, arguments, [np.asarray(each) for each in results], attentions, "iree")


def _pretend_torchvision() -> None:
    """Lets timm be imported without torchvision, of which its models use nothing: every name becomes an empty class."""
    try:
        import torchvision  # noqa: F401
    except ImportError:
        pass
    else:
        return

    class Empty(type):
        def __getattr__(cls, name: str) -> Any:
            if name.startswith("__"):
                raise AttributeError(name)
            return name

    class Module(types.ModuleType):
        __path__: typing.ClassVar[list[str]] = []

        def __getattr__(self, name: str) -> Any:
            if name.startswith("__"):
                raise AttributeError(name)
            return Empty(name, (), {})

    for name in ("", ".ops", ".ops.misc", ".transforms", ".transforms.functional", ".datasets", ".models"):
        module = Module("torchvision" + name)
        module.__version__ = "0.0"
        module.__spec__ = ModuleSpec("torchvision" + name, None)
        sys.modules["torchvision" + name] = module
        if name:
            parent, _, leaf = ("torchvision" + name).rpartition(".")
            setattr(sys.modules[parent], leaf, module)


# ------------------------------------------------------------------------------------------------------------- graphs
# Every graph is a function of `small`: the small form is what the lit tests hold a copy of, the other is big enough
# that a wrong index shows.


def _hf_encoder(small: bool, implementation: str) -> Graph:
    import torch
    from transformers import BertConfig, BertModel

    torch.manual_seed(0)
    layers = 1 if small else 2
    config = BertConfig(
        vocab_size=50,
        hidden_size=32 if small else 96,
        num_hidden_layers=layers,
        num_attention_heads=4,
        intermediate_size=32 if small else 128,
        max_position_embeddings=64,
        attn_implementation=implementation,
    )

    class Encoder(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.bert = BertModel(config, add_pooling_layer=False)

        def forward(self, ids: Any, mask: Any) -> Any:
            positions = torch.arange(ids.shape[1])[None]
            types_ = torch.zeros_like(ids)
            return self.bert(
                input_ids=ids, attention_mask=mask, token_type_ids=types_, position_ids=positions
            ).last_hidden_state

    length = 6 if small else 37
    ids = torch.randint(0, 50, (2 if small else 3, length))
    mask = torch.ones_like(ids)
    mask[1, length - 2 :] = 0  # the second sequence is padded
    mask[2:] = 0  # the third is nothing but padding: what the framework makes of it has to stay
    return _from_torch(Encoder(), (ids, mask), layers)


def _hf_decoder(small: bool, implementation: str, family: str) -> Graph:
    import torch
    import transformers

    torch.manual_seed(0)
    layers = 1 if small else 2
    config = getattr(transformers, family + "Config")(
        vocab_size=50,
        hidden_size=32 if small else 128,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        intermediate_size=32 if small else 160,
        max_position_embeddings=64,
        attn_implementation=implementation,
    )
    model = getattr(transformers, family + "Model")

    class Decoder(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model(config)

        def forward(self, ids: Any, mask: Any, positions: Any) -> Any:
            return self.model(
                input_ids=ids, attention_mask=mask, position_ids=positions, use_cache=False
            ).last_hidden_state

    length = 6 if small else 33
    ids = torch.randint(0, 50, (2, length))
    # The explicit 4-D additive mask: causal, as transformers writes it.
    mask = torch.triu(torch.full((length, length), torch.finfo(torch.float32).min), 1)
    mask = mask[None, None].repeat(2, 1, 1, 1)
    positions = torch.arange(length)[None].repeat(2, 1)
    return _from_torch(Decoder(), (ids, mask, positions), layers)


def _timm_vit(small: bool, fused: bool) -> Graph:
    _pretend_torchvision()
    import timm
    import timm.layers
    import torch

    torch.manual_seed(0)
    timm.layers.set_fused_attn(fused)
    depth = 2 if small else 12
    size = {"embed_dim": 16, "num_heads": 2} if small else {"embed_dim": 96, "num_heads": 3}
    model = timm.create_model(
        "vit_tiny_patch16_224", pretrained=False, img_size=32 if small else 96, depth=depth, num_classes=10, **size
    )
    return _from_torch(model, (torch.randn(1 if small else 2, 3, *(2 * [32 if small else 96])),), depth)


def _torch_mha(small: bool, weights: bool = False) -> Graph:
    import torch

    torch.manual_seed(0)
    width, heads, length = (16, 2, 5) if small else (64, 4, 29)

    class Attend(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention = torch.nn.MultiheadAttention(width, heads, batch_first=True)

        def forward(self, x: Any) -> Any:
            return self.attention(x, x, x, need_weights=weights)

    return _from_torch(Attend(), (torch.randn(2, length, width),), 0 if weights else 1)


def _torch_causal(small: bool) -> Graph:
    import torch

    torch.manual_seed(0)
    length, depth = (6, 8) if small else (40, 16)

    class Attend(torch.nn.Module):
        def forward(self, q: Any, k: Any, v: Any) -> Any:
            return torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)

    return _from_torch(Attend(), tuple(torch.randn(2, 2, length, depth) for _ in range(3)), 1)


def _jax_attention(small: bool, kind: str) -> Graph:
    import jax

    draw = np.random.default_rng(0).standard_normal
    batch, length, heads, depth = (2, 6, 4, 8) if small else (2, 45, 4, 32)
    kv_heads = 2 if kind == "gqa" else heads
    q = draw((batch, length, heads, depth), dtype=np.float32)
    k = draw((batch, length, kv_heads, depth), dtype=np.float32)
    v = draw((batch, length, kv_heads, depth), dtype=np.float32)
    attention = jax.nn.dot_product_attention
    if kind == "bias":
        bias = draw((batch, heads, length, length), dtype=np.float32)
        return _from_jax(lambda q, k, v, b: attention(q, k, v, bias=b), [q, k, v, bias], 1)
    if kind == "mask":
        # The last row of the mask is empty: the framework spreads its weight evenly, and so must the compiled module.
        mask = np.random.default_rng(1).random((batch, 1, length, length)) > 0.5
        mask[:, :, -1] = False
        return _from_jax(lambda q, k, v, m: attention(q, k, v, mask=m), [q, k, v, mask], 1)
    options = {
        "full": {},
        "causal": {"is_causal": True},
        "gqa": {"is_causal": True},
        "window": {"local_window_size": (3, 1)},
    }[kind]
    return _from_jax(lambda q, k, v: attention(q, k, v, **options), [q, k, v], 1)


GRAPHS: dict[str, Callable[[bool], Graph]] = {
    "hf-encoder-eager": lambda small: _hf_encoder(small, "eager"),
    "hf-encoder-sdpa": lambda small: _hf_encoder(small, "sdpa"),
    "hf-llama-eager": lambda small: _hf_decoder(small, "eager", "Llama"),
    "hf-llama-sdpa": lambda small: _hf_decoder(small, "sdpa", "Llama"),
    "hf-qwen2-sdpa": lambda small: _hf_decoder(small, "sdpa", "Qwen2"),
    "timm-vit": lambda small: _timm_vit(small, fused=True),
    "timm-vit-unfused": lambda small: _timm_vit(small, fused=False),
    "torch-mha": lambda small: _torch_mha(small),
    "torch-mha-weights": lambda small: _torch_mha(small, weights=True),
    "torch-causal": _torch_causal,
    "jax-full": lambda small: _jax_attention(small, "full"),
    "jax-causal": lambda small: _jax_attention(small, "causal"),
    "jax-gqa": lambda small: _jax_attention(small, "gqa"),
    "jax-bias": lambda small: _jax_attention(small, "bias"),
    "jax-mask": lambda small: _jax_attention(small, "mask"),
    "jax-window": lambda small: _jax_attention(small, "window"),
}


def export(name: str, small: bool = False) -> Graph:
    """The graph called `name`; raises KeyError for a name that is not in GRAPHS."""
    return GRAPHS[name](small)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"graphs to export (default: all): {', '.join(GRAPHS)}"
    )
    parser.add_argument("--out", type=Path, default=Path("graphs"), metavar="DIR", help="folder to write to")
    parser.add_argument("--small", action="store_true", help="the smallest form of each graph")
    options = parser.parse_args()
    unknown = [name for name in options.names if name not in GRAPHS]
    if unknown:
        parser.error(f"unknown graph '{unknown[0]}'; expected one of {', '.join(GRAPHS)}")

    options.out.mkdir(parents=True, exist_ok=True)
    index_path = options.out / "graphs.json"
    index = json.loads(index_path.read_text()) if index_path.exists() else {}
    for name in options.names or GRAPHS:
        graph = export(name, options.small)
        (options.out / f"{name}.mlir").write_text(graph.text)
        arrays = {f"arg{i}": array for i, array in enumerate(graph.arguments)}
        arrays.update({f"out{i}": array for i, array in enumerate(graph.results)})
        np.savez(options.out / f"{name}.npz", **arrays)
        index[name] = {"function": "main", "attentions": graph.attentions, "exporter": graph.exporter}
        print(f"{name}: {len(graph.text)} characters, {graph.attentions} attentions", flush=True)
    index_path.write_text(json.dumps(index, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

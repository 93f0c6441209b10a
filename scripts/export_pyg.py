#!/usr/bin/env python3
"""Turns a trained PyTorch Geometric model into the safetensors file that gnn-explain reads.

    export_pyg.py MODEL.pt MODEL.safetensors --arch gcn_norm --task graph [key=value ...]

MODEL.pt is what torch.save() wrote: a state dict, a dict that holds one, or a whole module (for
that, run where the module's class can be imported, and give --trust). Layers must be called
conv1, convs.0, convs.1 ... or conv1, conv2 ... or convs.0, convs.1 ..., the classifier lin1 and
lin2; --rename OLD=NEW changes the beginning of names. Further settings of the network go behind as
key=value: readout=mean|sum|max, activation=relu|elu|tanh|leaky_relu, heads, concat=0|1,
negative_slope, add_self_loops=0|1, feature_norm=row_sum, dropout, dataset. The reader checks them.

From Python: export(model.state_dict(), "m.safetensors", arch="gat", task="node", heads=4).
Needs torch and safetensors, not torch_geometric.
"""
import argparse
import pickle
import sys

import torch
from safetensors.torch import save_file


def find_state(obj):
    """The state dict inside whatever torch.load() returned."""
    if isinstance(obj, torch.nn.Module):
        return obj.state_dict()
    if isinstance(obj, dict):
        if obj and all(isinstance(v, torch.Tensor) for v in obj.values()):
            return obj
        for key in ("state_dict", "model_state_dict", "net", "model"):
            if key in obj:
                return find_state(obj[key])
    raise SystemExit("export_pyg.py: no state dict found in the file")


def export(state, path, arch, task, rename=(), **settings):
    """Writes the tensors of a state dict with the configuration as metadata."""
    tensors = {}
    for name, value in state.items():
        for old, new in rename:
            if name.startswith(old):
                name = new + name[len(old):]
                break
        # A copy of its own for each: files cannot hold tensors that share memory.
        tensors[name] = value.detach().cpu().clone().contiguous()
    meta = {"format": "pt", "arch": arch, "task": task}
    for key, value in settings.items():
        meta[key] = str(int(value)) if isinstance(value, bool) else str(value)
    save_file(tensors, path, metadata=meta)


def pair(text):
    """"a=b" as (a, b)."""
    key, found, value = text.partition("=")
    if not found or not key:
        raise argparse.ArgumentTypeError(f"expected name=value, found {text!r}")
    return key, value


def main():
    p = argparse.ArgumentParser(description=__doc__,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("source")
    p.add_argument("target")
    p.add_argument("--arch", required=True)
    p.add_argument("--task", required=True, choices=["graph", "node"])
    p.add_argument("--rename", action="append", type=pair, default=[], metavar="OLD=NEW")
    p.add_argument("--trust", action="store_true", help="unpickle a whole module (runs its code)")
    p.add_argument("setting", nargs="*", type=pair)
    a = p.parse_intermixed_args()
    if a.trust:
        sys.path.insert(0, ".")  # where the module's class is
    try:
        loaded = torch.load(a.source, map_location="cpu", weights_only=not a.trust)
    except pickle.UnpicklingError:
        raise SystemExit(f"export_pyg.py: {a.source} holds more than tensors; --trust unpickles it")
    state = find_state(loaded)
    export(state, a.target, a.arch, a.task, a.rename, **dict(a.setting))
    print(f"{a.target}: {len(state)} tensors", file=sys.stderr)


if __name__ == "__main__":
    main()

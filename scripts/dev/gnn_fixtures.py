#!/usr/bin/env python3
"""Records logits of PyTorch Geometric layers with random weights: tests/data/gnn/*.safetensors and
expected.json. Development only (needs torch, torch_geometric, safetensors); run from the root.

Three small graphs: a self loop with an edge weight, an isolated node, a one-way edge. Weights are
random f32 numbers, logits are computed in f64.
"""
import json
import os
import sys
import warnings

warnings.filterwarnings("ignore")
import torch
from torch import nn
from torch_geometric.nn import GATConv, GATv2Conv, GCNConv, GINConv, GraphConv, SAGEConv

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from export_pyg import export  # noqa: E402

OUT = "tests/data/gnn"
F, D, C = 3, 4, 2
ACT = {"relu": torch.relu, "elu": nn.functional.elu, "tanh": torch.tanh,
       "leaky_relu": nn.functional.leaky_relu, "none": lambda x: x}


def mlp(i):
    return nn.Sequential(nn.Linear(i, D), nn.ReLU(), nn.Linear(D, D), nn.ReLU(), nn.BatchNorm1d(D))


class Net(nn.Module):
    """conv1, convs.*, lin1, lin2 as gnn-explain wants them."""

    def __init__(self, make, width, act, pool, layers):
        super().__init__()
        self.conv1 = make(F)
        self.convs = nn.ModuleList(make(width) for _ in range(layers - 1))
        self.lin1 = nn.Linear(width, D)
        self.lin2 = nn.Linear(D, C)
        self.act, self.pool = ACT[act], pool

    def forward(self, x, edge_index, weight=None):
        for conv in [self.conv1, *self.convs]:
            x = self.act(conv(x, edge_index) if weight is None else conv(x, edge_index, weight))
        if self.pool == "mean":
            x = x.mean(0, keepdim=True)
        elif self.pool == "sum":
            x = x.sum(0, keepdim=True)
        elif self.pool == "max":
            x = x.max(0, keepdim=True).values
        return self.lin2(torch.relu(self.lin1(x)))


def graphs(gen):
    shapes = [
        (5, [(0, 1), (1, 0), (1, 2), (2, 1), (2, 2), (2, 3), (3, 2), (3, 0), (0, 3)]),
        (6, [(0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1), (2, 4), (4, 2)]),
        (3, [(0, 1), (1, 2), (0, 2)]),
    ]
    out = []
    for n, edges in shapes:
        edges = sorted(edges)
        x = torch.randn(n, F, generator=gen)
        w = torch.rand(len(edges), generator=gen) + .25
        out.append((x.double(), torch.tensor(edges).t().contiguous(), w.double()))
    return out


# name: (arch, layer, width, activation, readout, layers, settings, has edge weights)
def models():
    return {
        "gin": ("gin", lambda i: GINConv(mlp(i), train_eps=True), D, "none", "mean", 3, {}, False),
        "sage": ("sage", lambda i: SAGEConv(i, D, aggr="sum"), D, "relu", "mean", 3, {}, False),
        "graphconv": ("graphconv", lambda i: GraphConv(i, D), D, "tanh", "sum", 2, {}, True),
        "gcn_norm": ("gcn_norm", lambda i: GCNConv(i, D), D, "leaky_relu", "max", 4, {}, True),
        "gcn_norm_node": ("gcn_norm", lambda i: GCNConv(i, D), D, "relu", "none", 2, {}, True),
        "gat": ("gat", lambda i: GATConv(i, D, heads=2), 2 * D, "elu", "mean", 3,
                dict(heads=2, concat=True), False),
        "gat_mean": ("gat", lambda i: GATConv(i, D, heads=3, concat=False, negative_slope=.1), D,
                     "relu", "none", 2, dict(heads=3, concat=False, negative_slope=.1), False),
        "gat_plain": ("gat", lambda i: GATConv(i, D, add_self_loops=False), D, "relu", "mean", 2,
                      dict(heads=1, concat=True, add_self_loops=False), False),
        "gatv2": ("gatv2", lambda i: GATv2Conv(i, D, heads=2), 2 * D, "relu", "mean", 2,
                  dict(heads=2, concat=True), False),
    }


def main():
    gen = torch.Generator().manual_seed(5)
    torch.manual_seed(7)
    sets = graphs(gen)
    doc = {"graphs": [{"nodes": x.shape[0], "edges": e.t().tolist(), "x": x.tolist(),
                       "edge_weight": w.tolist()} for x, e, w in sets], "models": {}}
    os.makedirs(OUT, exist_ok=True)
    for name, (arch, make, width, act, pool, layers, more, weighted) in models().items():
        net = Net(make, width, act, pool, layers).eval()
        with torch.no_grad():
            for key, value in net.state_dict().items():
                if value.is_floating_point():
                    value.copy_(torch.rand(value.shape, generator=gen) + .5
                                if key.endswith("running_var")
                                else .8 * torch.randn(value.shape, generator=gen))
        task = "node" if pool == "none" else "graph"
        settings = dict(more, readout=pool, activation="relu" if act == "none" else act)
        export(net.state_dict(), f"{OUT}/{name}.safetensors", arch, task, **settings)
        net = net.double()
        with torch.no_grad():
            entry = {"logits": [net(x, e).tolist() for x, e, _ in sets]}
            if weighted:
                entry["weighted"] = [net(x, e, w).tolist() for x, e, w in sets]
        doc["models"][name] = entry
    with open(f"{OUT}/expected.json", "w", encoding="ascii") as f:
        json.dump(doc, f, indent=1)
        f.write("\n")


if __name__ == "__main__":
    main()

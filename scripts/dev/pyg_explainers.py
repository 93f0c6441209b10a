#!/usr/bin/env python3
"""Records runs of PyTorch Geometric's GNNExplainer and PGExplainer, for tests/unit/test_explain_learned.c.

Development only; needs torch, torch_geometric and safetensors. Everything in f64, with the random
start of the masks and the uniform draws stored next to the results.

    python scripts/dev/pyg_explainers.py tests/data/thirdparty tests/data/gnn/pyg_explainers.safetensors
"""
import sys

import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch_geometric.explain import Explainer, GNNExplainer, PGExplainer
from torch_geometric.nn import GINConv, global_mean_pool

GRAPH = 600  # a house of BA_2Motifs


class Gin(nn.Module):
    def __init__(self, features, hidden, classes):
        super().__init__()
        mlp = lambda i: nn.Sequential(nn.Linear(i, hidden), nn.ReLU(), nn.Linear(hidden, hidden),
                                      nn.ReLU(), nn.BatchNorm1d(hidden))
        self.conv1 = GINConv(mlp(features), train_eps=True)
        self.convs = nn.ModuleList([GINConv(mlp(hidden), train_eps=True) for _ in range(2)])
        self.lin1 = nn.Linear(hidden, hidden)
        self.lin2 = nn.Linear(hidden, classes)

    def forward(self, x, edge_index):
        x = self.conv1(x, edge_index)
        for c in self.convs:
            x = c(x, edge_index)
        g = global_mean_pool(x, torch.zeros(len(x), dtype=torch.long))
        return self.lin2(self.lin1(g).relu())


def read_graph(folder, graph):
    indicator = [int(l) for l in open(f"{folder}/BA_2Motifs_graph_indicator.txt")]
    first = indicator.index(graph + 1)
    n = indicator.count(graph + 1)
    edges = set()
    for line in open(f"{folder}/BA_2Motifs_A.txt"):
        a, b = (int(v) - 1 - first for v in line.split(","))
        if 0 <= a < n:
            edges.add((a, b))
    x = [[float(v) for v in l.split(",")]
         for l in open(f"{folder}/BA_2Motifs_node_attributes.txt").readlines()[first:first + n]]
    return torch.tensor(x, dtype=torch.float64), torch.tensor(sorted(edges)).t().contiguous()


def explainer(model, algorithm, kind, **masks):
    return Explainer(model, algorithm=algorithm, explanation_type=kind,
                     model_config=dict(mode="multiclass_classification", task_level="graph",
                                       return_type="raw"), **masks)


def gnnexplainer(model, x, edge_index, target, features, out):
    name = "features" if features else "edges"
    torch.manual_seed(7)
    algorithm = GNNExplainer()
    losses, base_loss, base_init = [], algorithm._loss, algorithm._initialize_masks

    def initialize(*args):
        base_init(*args)
        out[f"{name}.edge_init"] = algorithm.edge_mask.detach().double().clone()
        algorithm.edge_mask = nn.Parameter(out[f"{name}.edge_init"].clone())
        if features:
            out[f"{name}.feature_init"] = algorithm.node_mask.detach().double().view(-1).clone()
            algorithm.node_mask = nn.Parameter(out[f"{name}.feature_init"].view(1, -1).clone())

    def loss(*args):
        value = base_loss(*args)
        losses.append(value.detach())
        return value

    algorithm._initialize_masks, algorithm._loss = initialize, loss
    e = explainer(model, algorithm, "phenomenon", edge_mask_type="object",
                  node_mask_type="common_attributes" if features else None)
    result = e(x, edge_index, target=target)
    out[f"{name}.edge_mask"] = result.edge_mask.clone()
    out[f"{name}.loss"] = torch.stack(losses)
    if features:
        out[f"{name}.feature_mask"] = result.node_mask.view(-1).clone()


def pgexplainer(model, x, edge_index, target, out):
    torch.manual_seed(11)
    algorithm = PGExplainer(epochs=30, lr=0.003)
    explainer(model, algorithm, "phenomenon", edge_mask_type="object")
    algorithm.mlp(torch.zeros(1, 64))  # lazy shapes
    algorithm.mlp.double()
    algorithm.optimizer = torch.optim.Adam(algorithm.mlp.parameters(), lr=0.003)
    u = torch.rand(edge_index.size(1), dtype=torch.float64)
    keys = ["w1", "b1", "w2", "b2"]
    params = list(algorithm.mlp.parameters())
    for k, p in zip(keys, params):
        out[f"pg.{k}"] = p.detach().clone().view(-1, p.size(-1))
    torch.rand_like = lambda t: u
    loss = algorithm.train(3, model, x, edge_index, target=target)
    out["pg.u"], out["pg.loss"] = u, torch.tensor([loss], dtype=torch.float64)
    for k, p in zip(keys, params):
        out[f"pg.{k}.grad"] = p.grad.clone().view(-1, p.size(-1))
        out[f"pg.{k}.after"] = p.detach().clone().view(-1, p.size(-1))


def load(data):
    state = load_file(f"{data}/gnn/gin_ba_2motifs.safetensors")
    model = Gin(10, 32, 2).double().eval()
    model.load_state_dict({k: v.double() if v.is_floating_point() else v for k, v in state.items()})
    for p in model.parameters():
        p.requires_grad_(False)
    return model


def main(data, target_file):
    torch.set_default_dtype(torch.float32)
    model = load(data)
    x, edge_index = read_graph(f"{data}/BA_2Motifs", GRAPH)
    target = model(x, edge_index).argmax(-1)
    out = {}
    gnnexplainer(model, x, edge_index, target, False, out)
    gnnexplainer(model, x, edge_index, target, True, out)
    # A new model: on one that GNNExplainer has had, PyG's masks are leaves and the network behind
    # them gets no gradient from the prediction.
    pgexplainer(load(data), x, edge_index, target, out)
    save_file({k: v.contiguous() for k, v in out.items()}, target_file,
              metadata={"graph": str(GRAPH), "by": "torch_geometric"})
    print({k: tuple(v.shape) for k, v in out.items()})


main(*sys.argv[1:])

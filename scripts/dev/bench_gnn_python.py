#!/usr/bin/env python3
"""Development only: the Python side of docs/bench/gnn-explain.md. Seconds per graph, as CSV, of

  eig           EiG-Search the way its authors' program works: one forward pass of the masked network
                per directed edge, then two passes and the unmasked one per size tried
  goat          GOAt the way its authors' program works: one pass through the expanded network per
                (edge, layer, term) and per (node, pattern, term), and the same on the empty graph
  gnnexplainer  PyTorch Geometric's GNNExplainer, edge mask, 100 epochs

in f32 on the CPU, with PyTorch Geometric's layers. Needs torch, torch_geometric, safetensors.

    python scripts/dev/bench_gnn_python.py gcn|gin IDS THREADS [SCORES]

The model is the BA-2Motifs one of tests/data/thirdparty. IDS "0,100,200" counts graphs from 0;
gnnexplainer does the first five. SCORES.eig.csv and SCORES.goat.csv, written by gnn-explain for the
same graphs, are compared with what is computed here (largest difference on stderr)."""
import csv
import itertools
import sys
import time

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import nn
from torch_geometric.explain import Explainer, GNNExplainer
from torch_geometric.nn import GCNConv, MessagePassing, global_mean_pool

FOLDER = "tests/data/thirdparty/BA_2Motifs/BA_2Motifs"
SPARSITY = 0.7


class WeightedGIN(MessagePassing):
    def __init__(self, mlp):
        super().__init__(aggr="add")
        self.nn, self.eps = mlp, nn.Parameter(torch.zeros(1))

    def forward(self, x, edge_index, edge_weight):
        return self.nn(self.propagate(edge_index, x=x, edge_weight=edge_weight) + (1 + self.eps) * x)

    def message(self, x_j, edge_weight):
        return x_j if edge_weight is None else x_j * edge_weight.view(-1, 1)


class Net(nn.Module):
    def __init__(self, arch, features, hidden, classes):
        super().__init__()
        widths = [features, hidden, hidden]
        if arch == "gcn":
            convs = [GCNConv(w, hidden, normalize=False, add_self_loops=False) for w in widths]
        else:
            convs = [WeightedGIN(nn.Sequential(nn.Linear(w, hidden), nn.ReLU(), nn.Linear(hidden, hidden),
                                               nn.ReLU(), nn.BatchNorm1d(hidden)))
                     for w in widths]
        self.arch, self.conv1, self.convs = arch, convs[0], nn.ModuleList(convs[1:])
        self.lin1, self.lin2 = nn.Linear(hidden, hidden), nn.Linear(hidden, classes)

    def layers(self):
        return [self.conv1, *self.convs]

    def forward(self, x, edge_index, edge_weight=None):
        for conv in self.layers():
            if self.arch == "gcn":
                x = conv(F.normalize(x, dim=1, eps=1e-12), edge_index, edge_weight).relu()
            else:
                x = conv(x, edge_index, edge_weight)
        g = global_mean_pool(x, torch.zeros(len(x), dtype=torch.long), 1)
        return self.lin2(self.lin1(g).relu())


def read_graphs(ids):
    indicator = [int(v) - 1 for v in open(FOLDER + "_graph_indicator.txt")]
    first = {}
    for node, graph in enumerate(indicator):
        first.setdefault(graph, node)
    rows = [[float(v) for v in line.split(",")] for line in open(FOLDER + "_node_attributes.txt")]
    edges = {i: set() for i in ids}
    for line in open(FOLDER + "_A.txt"):
        a, b = (int(v) - 1 for v in line.split(","))
        if indicator[a] in edges:
            edges[indicator[a]].add((a - first[indicator[a]], b - first[indicator[a]]))
    for i in ids:
        n = indicator.count(i)
        yield i, torch.tensor(rows[first[i]:first[i] + n]), torch.tensor(sorted(edges[i])).t().contiguous()


def reverse_of(edge_index):
    place = {tuple(e): i for i, e in enumerate(edge_index.t().tolist())}
    return [place[b, a] for a, b in edge_index.t().tolist()]


# ---- EiG-Search.
def induced(model, x, edge_index, keep, y):
    if not keep.any():
        return model.lin2(model.lin1(torch.zeros(1, model.lin1.in_features)).relu()).softmax(1)[0, y]
    nodes, ends = edge_index[:, keep].unique(return_inverse=True)
    return model(x[nodes], ends).softmax(1)[0, y]


@torch.no_grad()
def eig(model, x, edge_index):
    e, rev = edge_index.shape[1], reverse_of(edge_index)
    log_p = model(x, edge_index).log_softmax(1)[0]
    y = int(log_p.argmax())
    score = torch.zeros(e)
    for i in range(e):
        weight = torch.ones(e)
        weight[i] = weight[rev[i]] = 0
        score[i] = log_p[y] - model(x, edge_index, weight).log_softmax(1)[0, y]
    k = max(2, int(e * (1.0 - SPARSITY)))
    order, best = score.topk(k).indices, None
    for l in range(1, k, 2):
        keep = torch.zeros(e, dtype=torch.bool)
        keep[order[:min(l + 3, k)]] = True
        whole = model(x, edge_index).softmax(1)[0, y]
        overall = (whole - induced(model, x, edge_index, ~keep, y)) - (whole - induced(model, x, edge_index, keep, y))
        if best is None or overall > best[0]:
            best = overall, min(l + 3, k)
    return score, y


# ---- GOAt: the network as a sum of products, patterns of the activations recorded.
def gather(edge_index, h, edge=None):
    src, dst = edge_index if edge is None else edge_index[:, edge:edge + 1]
    return torch.zeros_like(h).index_add_(0, dst, h[src])


def only(pattern, node):
    row = torch.zeros_like(pattern)
    row[node] = pattern[node]
    return row


class Expansion:
    """Steps of a network after its start: ("A", layer), ("self", layer), ("lin", matrix, pattern site,
    divisor), ("scale", vector). A term is a start and the steps behind it."""

    def __init__(self, model, x, edge_index):
        self.model, self.edge_index = model, edge_index
        self.x = F.normalize(x, dim=1, eps=1e-12) if model.arch == "gcn" else x
        self.record(edge_index)

    def record(self, edge_index):
        m, h = self.model, self.x
        self.pattern, self.divisor = [], []
        for l, conv in enumerate(m.layers()):
            if m.arch == "gcn":
                z = gather(edge_index, h @ conv.lin.weight.t()) + conv.bias
                h = z.relu()
                d = h.norm(dim=1, keepdim=True).clamp(min=1e-12) if l < 2 else torch.ones(len(h), 1)
                self.pattern.append((z > 0).float())
                self.divisor.append(d)
                h = h / d
            else:
                z = conv.nn[0](gather(edge_index, h) + (1 + conv.eps) * h)
                z2 = conv.nn[2](z.relu())
                self.pattern += [(z > 0).float(), (z2 > 0).float()]
                h = conv.nn[4](z2.relu())
        self.head = (m.lin1(h.mean(0)) > 0).float()

    def terms(self, empty):
        """(start rows, steps, number of variables)"""
        m, n = self.model, len(self.x)
        per_layer = []
        for l, conv in enumerate(m.layers()):
            if m.arch == "gcn":
                per_layer.append(dict(bias=[conv.bias], tail=[("lin", None, l)],
                                      whole=[("map", conv.lin.weight), ("A", l), ("lin", None, l)]))
                continue
            bn = conv.nn[4]
            s = bn.weight / (bn.running_var + bn.eps).sqrt()
            tail = [("lin", None, 2 * l), ("map", conv.nn[2].weight), ("lin", None, 2 * l + 1), ("scale", s)]
            per_layer.append(dict(bias=[conv.nn[0].bias, conv.nn[2].bias, bn.bias - bn.running_mean * s],
                                  tail=tail, cut=[0, 2, 4], first=conv.nn[0].weight, eps=1 + conv.eps))
        for start in range(-1, len(per_layer)):
            ways = [("A", "self")] * (len(per_layer) - start - 1) if m.arch == "gin" else \
                [("A",)] * (len(per_layer) - start - 1)
            for way in itertools.product(*ways):
                if empty and "A" in way:
                    continue
                behind = []
                for l, how in zip(range(start + 1, len(per_layer)), way):
                    p = per_layer[l]
                    if m.arch == "gcn":
                        behind += p["whole"]
                    else:
                        behind += [("A", l) if how == "A" else ("scale", p["eps"]), ("map", p["first"])] + p["tail"]
                if start < 0:
                    yield self.x, behind
                for k, b in enumerate(per_layer[start]["bias"] if start >= 0 else []):
                    tail = per_layer[start]["tail"]
                    yield b.expand(n, -1), (tail[per_layer[start]["cut"][k]:] if m.arch == "gin" else tail) + behind

    def run(self, h, steps, at=None, which=None):
        for i, step in enumerate(steps):
            if step[0] == "A":
                h = gather(self.edge_index, h, which if i == at else None)
            elif step[0] == "map":
                h = h @ step[1].t()
            elif step[0] == "scale":
                h = h * step[1]
            else:
                h = h * (only(self.pattern[step[2]], which) if i == at else self.pattern[step[2]])
                if self.divisor:
                    h = h / self.divisor[step[2]]
        m = self.model
        return m.lin2.weight @ ((m.lin1.weight @ h.mean(0)) * self.head)

    def shares(self, empty=False):
        m, n, e = self.model, len(self.x), self.edge_index.shape[1]
        classes = m.lin2.out_features
        edge = torch.zeros(e, classes)
        node = torch.zeros(len(self.pattern), n, classes)
        head = m.lin2.weight @ (m.lin1.bias * self.head)
        for start, steps in self.terms(empty):
            used = [i for i, s in enumerate(steps) if s[0] in ("A", "lin")]
            variables = len(used) + 1
            head = head + self.run(start, steps) / variables
            for i in used:
                for v in range(e if steps[i][0] == "A" else n):
                    share = self.run(start, steps, i, v) / variables
                    if steps[i][0] == "A":
                        edge[v] += share
                    else:
                        node[steps[i][2], v] += share
        return edge, node, head


def hops(edge_index, n):
    leaving = [[] for _ in range(n)]
    for i, (a, b) in enumerate(edge_index.t().tolist()):
        leaving[a].append((i, b))
    for a in range(n):
        near, lists, ends = [], [], [a]
        for _ in range(3):
            step = [edge for b in ends for edge in leaving[b]]
            near = near + [i for i, _ in step]
            lists.append(near)
            ends = sorted({b for _, b in step})
        yield lists


@torch.no_grad()
def goat(model, x, edge_index):
    n, e = len(x), edge_index.shape[1]
    y = int(model(x, edge_index).argmax())
    net = Expansion(model, x, edge_index)
    score, node, head = net.shares()
    net.record(edge_index[:, :0])
    _, empty_node, empty_head = net.shares(empty=True)
    per_layer = len(node) // 3
    for a, lists in enumerate(hops(edge_index, n)):
        for site in range(len(node)):
            near = torch.tensor(lists[site // per_layer], dtype=torch.long)
            if len(near):
                score.index_add_(0, near, ((node[site, a] - empty_node[site, a]) / len(near)).expand(len(near), -1))
    score = (score + (head - empty_head) / e)[:, y]
    return (score + score[torch.tensor(reverse_of(edge_index))]) / 2, y


# ---- PyTorch Geometric's GNNExplainer.
def gnnexplainer(model, x, edge_index):
    explainer = Explainer(model, algorithm=GNNExplainer(epochs=100), explanation_type="model",
                          model_config=dict(mode="multiclass_classification", task_level="graph",
                                            return_type="raw"), edge_mask_type="object")
    return explainer(x, edge_index).edge_mask, None


def compare(prefix, method, scores):
    theirs, worst = {}, 0
    for row in csv.DictReader(open(f"{prefix}.{method}.csv")):
        theirs.setdefault(int(row["graph"]), []).append(float(row["score"]))
    for graph, score in scores.items():
        worst = max(worst, (score.double() - torch.tensor(theirs[graph], dtype=torch.float64)).abs().max().item())
    print(f"{method}: largest difference from gnn-explain {worst:.2e}", file=sys.stderr)


def main():
    arch, ids = sys.argv[1], [int(v) for v in sys.argv[2].split(",")]
    torch.set_num_threads(int(sys.argv[3]))
    state = load_file(f"tests/data/thirdparty/gnn/{arch}_ba_2motifs.safetensors")
    hidden, classes = state["lin1.weight"].shape[0], state["lin2.weight"].shape[0]
    graphs = list(read_graphs(ids))
    model = Net(arch, graphs[0][1].shape[1], hidden, classes).eval()
    state = {k: v.view(1) if k.endswith("eps") else v for k, v in state.items()}
    model.load_state_dict(state)
    print("model,method,threads,graphs,seconds_per_graph")
    for method, run in ("eig", eig), ("goat", goat), ("gnnexplainer", gnnexplainer):
        chosen = graphs[:5] if method == "gnnexplainer" else graphs
        run(model, *chosen[0][1:])  # warm
        scores, start = {}, time.perf_counter()
        for graph, x, edge_index in chosen:
            scores[graph], _ = run(model, x, edge_index)
        seconds = (time.perf_counter() - start) / len(chosen)
        print(f"{arch},{method},{sys.argv[3]},{len(chosen)},{seconds:.4f}", flush=True)
        if len(sys.argv) > 4 and method != "gnnexplainer":
            compare(sys.argv[4], method, scores)


if __name__ == "__main__":
    main()

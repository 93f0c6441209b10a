"""Development only: the Python side of the training times in docs/bench/gnn-train.md. Trains the same
GIN or GCN with PyTorch Geometric on a TU folder: same widths, batch size, optimiser, split shares, and
a forward pass over the validation part after every epoch. Needs torch, torch_geometric and numpy.
Prints CSV like tests/perf/bench_gnn_train.
  python scripts/dev/pyg_train.py FOLDER [arch] [epochs] [threads] [hidden]"""
import sys
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torch_geometric.data import Data
from torch_geometric.loader import DataLoader
from torch_geometric.nn import GINConv, MessagePassing, global_mean_pool


def numbers(path, dtype):
    return np.array(path.read_text().replace(",", " ").split(), dtype=dtype)


def load(folder):
    prefix = next(folder.glob("*_A.txt")).name[: -len("A.txt")]
    edges = numbers(folder / (prefix + "A.txt"), np.int64).reshape(-1, 2) - 1
    graph = numbers(folder / (prefix + "graph_indicator.txt"), np.int64) - 1
    labels = np.unique(numbers(folder / (prefix + "graph_labels.txt"), np.int64),
                       return_inverse=True)[1]
    if (folder / (prefix + "node_labels.txt")).exists():
        kind = numbers(folder / (prefix + "node_labels.txt"), np.int64)
        kind -= kind.min()
        x = np.eye(kind.max() + 1, dtype=np.float32)[kind]
    else:
        x = numbers(folder / (prefix + "node_attributes.txt"), np.float32).reshape(len(graph), -1)
    edges = edges[np.lexsort((edges[:, 1], edges[:, 0]))]
    first = np.searchsorted(graph, np.arange(len(labels) + 1))
    owner = graph[edges[:, 0]]
    bounds = np.searchsorted(owner, np.arange(len(labels) + 1))
    return [Data(x=torch.from_numpy(x[first[i]:first[i + 1]]),
                 edge_index=torch.from_numpy((edges[bounds[i]:bounds[i + 1]] - first[i]).T.copy()),
                 y=torch.tensor([int(labels[i])])) for i in range(len(labels))]


class PlainConv(MessagePassing):
    """A (norm(x) W^T) + b, the unnormalised layer of the explained GCNs."""

    def __init__(self, inputs, outputs):
        super().__init__(aggr="add")
        self.lin = nn.Linear(inputs, outputs)

    def forward(self, x, edge_index):
        x = F.normalize(x, dim=1)
        return self.propagate(edge_index, x=x @ self.lin.weight.T) + self.lin.bias


class Net(nn.Module):
    def __init__(self, arch, features, hidden, classes):
        super().__init__()
        self.arch = arch
        widths = [features, hidden, hidden]
        if arch == "gin":
            self.convs = nn.ModuleList(
                GINConv(nn.Sequential(nn.Linear(w, hidden), nn.ReLU(), nn.Linear(hidden, hidden),
                                      nn.ReLU(), nn.BatchNorm1d(hidden)), train_eps=True)
                for w in widths)
        else:
            self.convs = nn.ModuleList(PlainConv(w, hidden) for w in widths)
        self.lin1 = nn.Linear(hidden, hidden)
        self.lin2 = nn.Linear(hidden, classes)

    def forward(self, x, edge_index, batch, graphs):
        for conv in self.convs:
            x = conv(x, edge_index)
            if self.arch != "gin":
                x = x.relu()
        x = global_mean_pool(x, batch, graphs)
        return self.lin2(F.dropout(self.lin1(x).relu(), 0.5, self.training))


def accuracy(net, loader):
    net.eval()
    with torch.no_grad():
        right = sum(int((net(b.x, b.edge_index, b.batch, b.num_graphs).argmax(1) == b.y).sum())
                    for b in loader)
    return right / max(len(loader.dataset), 1)


def main():
    folder = Path(sys.argv[1])
    arch = sys.argv[2] if len(sys.argv) > 2 else "gin"
    epochs = int(sys.argv[3]) if len(sys.argv) > 3 else 100
    threads = int(sys.argv[4]) if len(sys.argv) > 4 else 2
    hidden = int(sys.argv[5]) if len(sys.argv) > 5 else 64
    torch.set_num_threads(threads)
    torch.manual_seed(1)
    data = load(folder)
    order = torch.randperm(len(data)).tolist()
    a, b = int(0.8 * len(data)), int(0.9 * len(data))
    train = DataLoader([data[i] for i in order[:a]], batch_size=64, shuffle=True)
    val = DataLoader([data[i] for i in order[a:b]], batch_size=64)
    test = DataLoader([data[i] for i in order[b:]], batch_size=64)
    net = Net(arch, data[0].x.size(1), hidden, 1 + max(int(g.y) for g in data))
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3, weight_decay=5e-4)

    best, best_test = -1.0, 0.0
    start = time.perf_counter()
    spent = 0.0
    for _ in range(epochs):
        begin = time.perf_counter()
        net.train()
        for batch in train:
            optimizer.zero_grad()
            logits = net(batch.x, batch.edge_index, batch.batch, batch.num_graphs)
            F.cross_entropy(logits, batch.y).backward()
            optimizer.step()
        figure = accuracy(net, val)
        spent += time.perf_counter() - begin
        if figure > best:
            best, best_test = figure, accuracy(net, test)
    print("case,threads,epochs,seconds,seconds_per_epoch,val_acc,test_acc")
    print(f"pyg {folder.name} {arch} {hidden},{threads},{epochs},{spent:.3f},{spent / epochs:.4f},"
          f"{best:.4f},{best_test:.4f}")
    print(f"whole loop {time.perf_counter() - start:.1f} s", file=sys.stderr)


if __name__ == "__main__":
    main()

"""Development only: the Python side of docs/bench/sample.md, on the same machine in the same run.
Needs torch, diffusers, transformers, sentencepiece from PyPI. Prints CSV like tests/perf/bench_pixart.
  python scripts/dev/bench_python.py [repeats] [threads]"""
import statistics
import sys
import time

import torch
from diffusers import PixArtAlphaPipeline, PixArtTransformer2DModel

repeats = int(sys.argv[1]) if len(sys.argv) > 1 else 3
threads = int(sys.argv[2]) if len(sys.argv) > 2 else torch.get_num_threads()
torch.set_num_threads(threads)
torch.set_grad_enabled(False)


def measure(name, run):
    run()
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    print(f"{name},{threads},{min(seconds):.3f},{statistics.median(seconds):.3f}", flush=True)


print("case,threads,min_seconds,median_seconds")
start = time.perf_counter()
pipe = PixArtAlphaPipeline.from_pretrained("models/emoji", torch_dtype=torch.float32)
pipe.set_progress_bar_config(disable=True)
load = time.perf_counter() - start
print(f"python emoji load,{threads},{load:.3f},{load:.3f}")
measure("python emoji image (20 steps, loaded)", lambda: pipe(
    "red apple", num_inference_steps=20, guidance_scale=4.5, use_resolution_binning=False,
    clean_caption=False, generator=torch.Generator().manual_seed(1)))

model = PixArtTransformer2DModel(
    num_attention_heads=16, attention_head_dim=72, num_layers=28, in_channels=4, out_channels=8,
    sample_size=64, patch_size=2, caption_channels=4096, cross_attention_dim=1152,
    use_additional_conditions=False).eval()
for pixels in (256, 512):
    latent = torch.randn(2, 4, pixels // 8, pixels // 8)
    text = torch.randn(2, 120, 4096)
    mask = torch.ones(2, 120)
    measure(f"python pixart-xl step {pixels} px", lambda: model(
        latent, encoder_hidden_states=text, encoder_attention_mask=mask,
        timestep=torch.tensor([500, 500]),
        added_cond_kwargs={"resolution": None, "aspect_ratio": None}))

#!/usr/bin/env python3
"""Makes the tiny models and pictures of tests/data/parity (see the README there).

    python3 scripts/dev/record_parity.py

Needs diffusers, transformers, torch, safetensors, Pillow; nothing in the tests runs this."""

import json
import os
import shutil

import diffusers
import torch
import transformers
from PIL import Image
from safetensors.torch import save_file

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
OUT = os.path.join(ROOT, "tests", "data", "parity")
EMOJI = os.path.join(ROOT, "models", "emoji")
PROMPT = "Red apple on a wooden table"
LONG = "a ship, two cats and a lamp; " * 40
STEPS, SEED = 5, 5


def randomize(model, seed):
    """Weights that let every input reach the picture, exact in f16."""
    generator = torch.Generator().manual_seed(seed)
    for name, p in sorted(model.named_parameters()):
        r = torch.randn(p.shape, generator=generator)
        if p.ndim >= 2:
            fan_in = 4 if "embedding_table" in name else p[0].numel()
            r *= fan_in ** -0.5
        else:
            r = r * 0.1 + (1 if name.endswith("weight") else 0)
        p.copy_(r.half())
    return model.eval()


def make_vae():
    return randomize(diffusers.AutoencoderKL(
        block_out_channels=(8, 8, 8, 8), norm_num_groups=4, layers_per_block=1,
        down_block_types=["DownEncoderBlock2D"] * 4, up_block_types=["UpDecoderBlock2D"] * 4,
        sample_size=64, scaling_factor=0.3), 1)


def make_pixart(sample_size, seed, width, **options):
    return randomize(diffusers.PixArtTransformer2DModel(
        num_attention_heads=3, attention_head_dim=width // 3, num_layers=1, in_channels=4,
        out_channels=8, cross_attention_dim=width, caption_channels=192, sample_size=sample_size,
        **options), seed)


def save_part(model, *where):
    folder = os.path.join(OUT, *where)
    model.save_config(folder)
    tensors = {name: t.half().contiguous() for name, t in model.state_dict().items()
               if not name.startswith(("encoder.", "quant_conv."))}
    save_file(tensors, os.path.join(folder, "diffusion_pytorch_model.safetensors"))


def save_index(name, cls, transformer_cls, scheduler, **more):
    scheduler.save_pretrained(os.path.join(OUT, name, "scheduler"))
    index = {"_class_name": cls, "_diffusers_version": diffusers.__version__,
             "scheduler": ["diffusers", type(scheduler).__name__],
             "transformer": ["diffusers", transformer_cls], "vae": ["diffusers", "AutoencoderKL"]}
    if cls != "DiTPipeline":
        index |= {"text_encoder": ["transformers", "T5EncoderModel"],
                  "tokenizer": ["transformers", "T5Tokenizer"]}
    with open(os.path.join(OUT, name, "model_index.json"), "w", encoding="utf-8") as f:
        json.dump(index | more, f, indent=1)


def save_picture(images, name):
    rgb = (images[0].permute(1, 2, 0) * 255).round().to(torch.uint8).numpy()
    Image.fromarray(rgb).save(os.path.join(OUT, name + ".png"), optimize=True)


def paint(pipe, name, **options):
    pipe.set_progress_bar_config(disable=True)
    generator = torch.Generator().manual_seed(SEED)
    save_picture(pipe(generator=generator, output_type="pt", **options).images, name)


def record_pixart(vae):
    text_encoder = transformers.T5EncoderModel.from_pretrained(
        os.path.join(EMOJI, "text_encoder"), dtype=torch.float32)
    tokenizer = transformers.T5Tokenizer.from_pretrained(os.path.join(EMOJI, "tokenizer"))
    common = dict(num_inference_steps=STEPS, clean_caption=False)

    # use_additional_conditions and interpolation_scale stay null: 128 means yes, and 2.
    transformer = make_pixart(128, 2, 12)
    scheduler = diffusers.DPMSolverMultistepScheduler()
    save_part(transformer, "alpha", "transformer")
    save_index("alpha", "PixArtAlphaPipeline", "PixArtTransformer2DModel", scheduler)
    pipe = diffusers.PixArtAlphaPipeline(tokenizer, text_encoder, vae, transformer, scheduler)
    paint(pipe, "alpha", prompt=PROMPT, negative_prompt="blue sky", width=48, height=32,
          use_resolution_binning=False, **common)

    transformer = make_pixart(32, 3, 24, interpolation_scale=0.5, use_additional_conditions=False)
    scheduler = diffusers.DPMSolverMultistepScheduler(use_karras_sigmas=True)
    save_part(transformer, "sigma", "transformer")
    save_index("sigma", "PixArtSigmaPipeline", "PixArtTransformer2DModel", scheduler)
    pipe = diffusers.PixArtSigmaPipeline(tokenizer, text_encoder, vae, transformer, scheduler)
    paint(pipe, "sigma_wide", prompt=PROMPT, width=80, height=48, **common)
    paint(pipe, "sigma_tall", prompt=LONG, width=40, height=72, **common)


def record_dit(vae):
    transformer = randomize(diffusers.DiTTransformer2DModel(
        num_attention_heads=2, attention_head_dim=8, in_channels=4, out_channels=8, num_layers=1,
        sample_size=8, num_embeds_ada_norm=1000), 4)
    scheduler = diffusers.DDIMScheduler(clip_sample=False)
    save_part(transformer, "dit", "transformer")
    config = os.path.join(OUT, "dit", "transformer", "config.json")
    with open(config, encoding="utf-8") as f:
        values = json.load(f) | {"_class_name": "Transformer2DModel"}  # as DiT was first published
    with open(config, "w", encoding="utf-8") as f:
        json.dump(values, f, indent=1)
    labels = {"7": "cock", "207": "golden retriever, yellow dog"}
    save_index("dit", "DiTPipeline", "Transformer2DModel", scheduler, id2label=labels)
    pipe = diffusers.DiTPipeline(transformer, vae, scheduler)
    paint(pipe, "dit", class_labels=[207], guidance_scale=4.0, num_inference_steps=50)


def main():
    torch.set_grad_enabled(False)
    torch.set_num_threads(1)
    for name in ("alpha", "sigma", "dit", "vae"):
        shutil.rmtree(os.path.join(OUT, name), ignore_errors=True)
    vae = make_vae()
    save_part(vae, "vae")
    record_pixart(vae)
    record_dit(vae)


if __name__ == "__main__":
    main()

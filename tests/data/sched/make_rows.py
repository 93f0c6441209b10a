#!/usr/bin/env python3
"""Writes rows.json, see README.md. Needs diffusers and torch; nothing in the tests runs this."""

import json
import logging
import sys
import warnings

import numpy as np
import torch
import diffusers

IMAGES, SIZE = 2, 48
KINDS = {
    "dpm++": diffusers.DPMSolverMultistepScheduler,
    "ddim": diffusers.DDIMScheduler,
    "ddpm": diffusers.DDPMScheduler,
    "euler": diffusers.EulerDiscreteScheduler,
}
DPM, DDIM, DDPM, EULER = ({"_class_name": c.__name__} for c in KINDS.values())
HUNYUAN = dict(beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.03,
               prediction_type="v_prediction", steps_offset=1, clip_sample=False)
SD = dict(beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012)
V = dict(prediction_type="v_prediction")
X0 = dict(prediction_type="sample")
BETAS = [round(0.001 + 0.0004 * i, 6) for i in range(60)]

ROWS = [
    # DPM-Solver++ as PixArt has it, and each of its options.
    (DPM, {}, 20), (DPM, {}, 4), (DPM, {}, 1), (DPM, {}, 14), (DPM, {}, 15),
    (DPM, V, 10), (DPM, X0, 10),
    (DPM, dict(solver_order=1), 8), (DPM, dict(solver_order=3), 8), (DPM, dict(solver_order=3), 16),
    (DPM, dict(solver_type="heun"), 8), (DPM, dict(solver_type="bh2"), 8),
    (DPM, dict(lower_order_final=False, final_sigmas_type="sigma_min"), 8),
    (DPM, dict(lower_order_final=False, final_sigmas_type="sigma_min", solver_order=3), 8),
    (DPM, dict(euler_at_final=True, final_sigmas_type="sigma_min"), 16),
    (DPM, dict(use_karras_sigmas=True, **SD), 12),
    (DPM, dict(use_karras_sigmas=True, final_sigmas_type="sigma_min", solver_order=1), 6),
    (DPM, dict(use_karras_sigmas=True, sigma_min=0.05, sigma_max=80.0), 6),
    (DPM, dict(use_lu_lambdas=True), 12), (DPM, dict(use_exponential_sigmas=True), 12),
    (DPM, dict(timestep_spacing="leading", steps_offset=1, **SD), 12),
    (DPM, dict(timestep_spacing="trailing", rescale_betas_zero_snr=True, **SD, **V), 10),
    (DPM, dict(timestep_spacing="trailing"), 48), (DPM, dict(timestep_spacing="trailing"), 61),
    (DPM, dict(beta_schedule="squaredcos_cap_v2", lambda_min_clipped=-5.1), 10),
    (DPM, dict(thresholding=True), 8),
    (DPM, dict(thresholding=True, dynamic_thresholding_ratio=0.8, sample_max_value=3.0), 8),
    (DPM, dict(algorithm_type="sde-dpmsolver++"), 8),
    (DPM, dict(algorithm_type="sde-dpmsolver++", solver_type="heun", euler_at_final=True), 8),
    (DPM, dict(algorithm_type="sde-dpmsolver++", solver_order=3), 8),
    (DPM, dict(algorithm_type="dpmsolver", final_sigmas_type="sigma_min"), 8),
    (DPM, dict(algorithm_type="dpmsolver", final_sigmas_type="sigma_min", solver_type="heun", **V), 8),
    (DPM, dict(algorithm_type="dpmsolver", final_sigmas_type="sigma_min", solver_order=3, **X0), 8),
    (DPM, dict(algorithm_type="dpmsolver", final_sigmas_type="sigma_min", thresholding=True), 8),
    (DPM, dict(algorithm_type="sde-dpmsolver", final_sigmas_type="sigma_min"), 8),
    (DPM, dict(algorithm_type="sde-dpmsolver", final_sigmas_type="sigma_min", solver_type="heun"), 8),
    (DPM, dict(num_train_timesteps=60, trained_betas=BETAS), 10),
    (DPM, {}, 10, dict(start=4)),
    # DDIM.
    (DDIM, dict(clip_sample=False), 10), (DDIM, {}, 10), (DDIM, dict(clip_sample_range=2.5), 10),
    (DDIM, dict(clip_sample=None), 4), (DDIM, dict(thresholding=True, sample_max_value=1.5), 10),
    (DDIM, dict(clip_sample=False, **V), 10), (DDIM, dict(clip_sample=False, **X0), 10),
    (DDIM, dict(clip_sample=False, set_alpha_to_one=False, steps_offset=1, **SD), 10),
    (DDIM, dict(clip_sample=False, timestep_spacing="trailing", rescale_betas_zero_snr=True, **SD, **V), 10),
    (DDIM, dict(clip_sample=False, timestep_spacing="linspace"), 7),
    (DDIM, dict(clip_sample=False), 10, dict(start=5)),
    # DDPM.
    (DDPM, HUNYUAN, 10), (DDPM, {}, 10), (DDPM, dict(clip_sample=False, **X0), 10),
    (DDPM, dict(variance_type="fixed_small_log"), 10), (DDPM, dict(variance_type="fixed_large"), 10),
    (DDPM, dict(variance_type="learned_range", clip_sample=False), 10),
    (DDPM, dict(variance_type="learned"), 10),
    (DDPM, dict(timestep_spacing="trailing", thresholding=True, sample_max_value=2.0), 10),
    (DDPM, dict(timestep_spacing="linspace"), 6), (DDPM, dict(beta_schedule="sigmoid"), 10),
    # Euler.
    (EULER, {}, 10), (EULER, SD, 10), (EULER, dict(**SD, **V), 10), (EULER, X0, 10),
    (EULER, dict(prediction_type="original_sample"), 4),
    (EULER, dict(timestep_spacing="leading", steps_offset=1, **SD), 10),
    (EULER, dict(timestep_spacing="trailing", rescale_betas_zero_snr=True, **SD, **V), 10),
    (EULER, dict(use_karras_sigmas=True, **SD), 10), (EULER, dict(use_exponential_sigmas=True), 10),
    (EULER, dict(use_karras_sigmas=True, sigma_min=0.1, sigma_max=10.0), 6),
    (EULER, dict(final_sigmas_type="sigma_min"), 10), (EULER, dict(interpolation_type="log_linear"), 10),
    (EULER, dict(interpolation_type="log_linear", use_karras_sigmas=True), 10),
    (EULER, dict(timestep_type="continuous"), 4), (EULER, {}, 1), (EULER, {}, 10, dict(start=3)),
    # Another class than the file's.
    (DPM, dict(SD, steps_offset=1), 10, dict(kind="ddim")), (DPM, V, 10, dict(kind="ddpm")),
    (DDPM, HUNYUAN, 10, dict(kind="dpm++")), (DDIM, dict(clip_sample=True), 6, dict(kind="ddim")),
    (DDIM, dict(SD, set_alpha_to_one=False), 10, dict(kind="euler")),
]


def table(a, b, m, middle):
    i = np.arange(IMAGES * SIZE)
    values = (((i * a + b) % m - middle) / np.float32(32)).astype(np.float32)
    return torch.from_numpy(values).reshape(IMAGES, 1, 1, SIZE)


def scheduler(row):
    config = dict(row["config"])
    if "kind" not in row:
        return {c.__name__: c for c in KINDS.values()}[config["_class_name"]].from_config(config)
    if row["kind"] in ("ddim", "ddpm"):
        config["clip_sample"] = config.get("clip_sample") is True
    return KINDS[row["kind"]].from_config(config)


def run(row):
    s = scheduler(row)
    s.set_timesteps(row["steps"])
    start = row.get("start", 0)
    x, out_table, variance = table(37, 11, 101, 50), table(53, 29, 97, 48), table(17, 5, 65, 32)
    if row["config"].get("variance_type") == "learned":
        variance = variance.abs()
    if start:
        if hasattr(s, "set_begin_index"):
            s.set_begin_index(start)
        x = s.add_noise(x, table(29, 7, 89, 44), s.timesteps[start:start + 1])
    else:
        x = x * s.init_noise_sigma
    generators = [torch.Generator().manual_seed(11 + b) for b in range(IMAGES)]
    extra = {} if isinstance(s, diffusers.DDIMScheduler) else {"generator": generators}
    row["timesteps"] = [round(float(t), 4) for t in s.timesteps]
    row["init_sigma"] = float(s.init_noise_sigma)
    row["abs"] = []
    for t in s.timesteps[start:]:
        tf = t.to(torch.float32)
        output = s.scale_model_input(x, t) * (tf / (tf + 2)) * 0.5 + out_table * 0.5
        if row["config"].get("variance_type", "").startswith("learned"):
            output = torch.cat([output, variance], dim=1)
        x = s.step(output, t, x, **extra).prev_sample
        row["abs"].append(float(f"{float(x.double().abs().sum()):.8g}"))
    assert torch.isfinite(x).all(), row
    flat = x.reshape(-1)
    row["max"] = float(f"{float(flat.abs().max()):.8g}")
    row["every7"] = [float(f"{float(v):.8g}") for v in flat[::7]]
    return row


def main():
    warnings.filterwarnings("ignore")
    logging.disable(logging.CRITICAL)
    torch.set_num_threads(1)
    rows = []
    for config, options, steps, *more in ROWS:
        rows.append(run({"config": {**config, **options}, "steps": steps, **(more[0] if more else {})}))
    with open(sys.argv[1] if len(sys.argv) > 1 else "rows.json", "w") as f:
        f.write("[\n" + ",\n".join(json.dumps(r) for r in rows) + "\n]\n")


main()

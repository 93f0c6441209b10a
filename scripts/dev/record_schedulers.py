#!/usr/bin/env python3
"""Records loops of the published schedulers for the unit tests, in tests/data/sched/goldens.json.

    python3 scripts/dev/record_schedulers.py OUT.json [RANDOM_ROWS [SEED]]

Needs diffusers and torch. With RANDOM_ROWS the options are drawn instead of taken from the list
below: for a wide comparison that is not kept. What is recorded: see the README beside the data."""

import json
import random
import sys
import warnings

import diffusers
import torch

SIZE = 16
START = [((37 * i + 11) % 101 - 50) / 32 for i in range(SIZE)]
DPM, DDIM, DDPM, EULER = (
    "DPMSolverMultistepScheduler", "DDIMScheduler", "DDPMScheduler", "EulerDiscreteScheduler")

SD = dict(beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012)
COSINE = dict(beta_schedule="squaredcos_cap_v2")
V = dict(prediction_type="v_prediction")
X0 = dict(prediction_type="sample")
SDE = dict(algorithm_type="sde-dpmsolver++")
KARRAS = dict(use_karras_sigmas=True)
EXP = dict(use_exponential_sigmas=True)
LU = dict(use_lu_lambdas=True)
MIN = dict(final_sigmas_type="sigma_min")
ZERO_SNR = dict(rescale_betas_zero_snr=True, timestep_spacing="trailing", **V)
LEADING = dict(timestep_spacing="leading", steps_offset=1)
LIMIT = dict(thresholding=True, sample_max_value=2.0)
OPEN = dict(clip_sample=False)

# Combinations; each option alone is in rows.json.
ROWS = [
    (DPM, KARRAS | SDE | SD, 12), (DPM, KARRAS | SDE | MIN | dict(solver_order=3), 9),
    (DPM, KARRAS | ZERO_SNR | SD, 10), (DPM, KARRAS | COSINE | V, 10),
    (DPM, KARRAS | dict(solver_order=3, euler_at_final=True) | MIN | SD, 16),
    (DPM, LU | SD | dict(solver_type="heun"), 10), (DPM, LU | COSINE | V | MIN, 10),
    (DPM, LU | SDE | dict(solver_order=3), 20), (DPM, EXP | SD | LEADING, 11),
    (DPM, EXP | MIN | V | dict(solver_order=3), 17), (DPM, SDE | V | LIMIT, 10),
    (DPM, SDE | COSINE | X0 | dict(solver_type="heun"), 7),
    (DPM, COSINE | LEADING | V | dict(lambda_min_clipped=-5.1), 10),
    (DPM, LIMIT | KARRAS | V | dict(solver_type="heun"), 10),
    (DPM, MIN | LEADING | dict(lower_order_final=False, solver_order=3) | SD, 10),
    (DPM, V | SD | dict(timestep_spacing="trailing", num_train_timesteps=500), 25),
    (DDIM, OPEN | SD | LEADING | V | dict(set_alpha_to_one=False), 12),
    (DDIM, OPEN | COSINE | V, 10), (DDIM, LIMIT | SD | X0, 10),
    (DDIM, SD | V | dict(clip_sample_range=1.5, timestep_spacing="trailing"), 9),
    (DDIM, OPEN | ZERO_SNR | COSINE, 10), (DDIM, OPEN | SD, 50),
    (DDPM, OPEN | SD | V | dict(variance_type="fixed_large"), 10),
    (DDPM, OPEN | COSINE | V, 10), (DDPM, OPEN | ZERO_SNR | SD, 10),
    (DDPM, LIMIT | SD | dict(variance_type="fixed_small_log"), 10),
    (DDPM, SD | X0 | LEADING | dict(clip_sample_range=2.0, variance_type="fixed_large"), 12),
    (EULER, KARRAS | SD | V | MIN, 10), (EULER, KARRAS | ZERO_SNR | SD, 10),
    (EULER, KARRAS | SD | LEADING, 12), (EULER, EXP | SD | X0, 10), (EULER, EXP | COSINE | V, 10),
    (EULER, KARRAS | SD | dict(interpolation_type="log_linear"), 8),
    (EULER, MIN | SD | V | dict(timestep_spacing="trailing", num_train_timesteps=500), 20),
]


def draw(rng):
    """A random class with random options, and a number of steps."""
    def options(*sets):
        return rng.choice(sets)
    cls = rng.choice([DPM, DPM, DDIM, DDPM, EULER])
    c = options({}, SD, COSINE) | options({}, V, V, X0)
    c |= options({}, LEADING, dict(timestep_spacing="trailing"), dict(timestep_spacing="linspace"))
    if rng.random() < 0.15:
        c |= ZERO_SNR
    if cls in (DPM, EULER):
        c |= options({}, KARRAS, EXP, LU if cls == DPM else {}) | options({}, MIN)
    if cls == DPM:
        c |= dict(solver_order=rng.randint(1, 3), euler_at_final=rng.random() < 0.3,
                  solver_type=rng.choice(["midpoint", "heun"]),
                  lower_order_final=rng.random() < 0.7) | options({}, SDE)
    if cls in (DDIM, DDPM):
        c |= options(OPEN, OPEN, dict(clip_sample_range=1.5))
    if cls != EULER and rng.random() < 0.2:
        c |= LIMIT
    if cls == DDIM:
        c |= dict(set_alpha_to_one=rng.random() < 0.5)
    if cls == DDPM:
        c |= dict(variance_type=rng.choice(["fixed_small", "fixed_small_log", "fixed_large"]))
    return cls, c, rng.randint(2, 30)


def loop(cls, options, steps, nudge=0.0):
    scheduler = getattr(diffusers, cls)(**options)
    scheduler.set_timesteps(steps)
    generator = torch.Generator().manual_seed(0)
    x = torch.tensor(START).view(1, 1, 1, SIZE) * scheduler.init_noise_sigma * (1 + nudge)
    for t in scheduler.timesteps:
        model_input = scheduler.scale_model_input(x, t)
        output = torch.sin(3 * model_input + t.float() / 1000)
        noise = {} if cls == DDIM else {"generator": generator}
        x = scheduler.step(output, t, x, **noise).prev_sample
    return scheduler.timesteps.tolist(), x.flatten().tolist()


def main():
    warnings.simplefilter("ignore")
    rows = ROWS
    if len(sys.argv) > 2:
        rng = random.Random(int(sys.argv[3]) if len(sys.argv) > 3 else 0)
        rows = [draw(rng) for _ in range(int(sys.argv[2]))]
    lines = []
    for cls, options, steps in rows:
        try:
            timesteps, sample = loop(cls, options, steps)
            moved = loop(cls, options, steps, nudge=1e-6)[1]
        except (ValueError, IndexError, NotImplementedError) as e:
            print(f"left out: {cls} {options} {steps}: {e}", file=sys.stderr)
            continue
        most = max(map(abs, sample))
        # Where a millionth grows this much, the last bits of sin decide: nothing to compare.
        if not max(abs(a - b) for a, b in zip(sample, moved)) <= 2e-5 * most:
            print(f"left out, unstable: {cls} {options} {steps}", file=sys.stderr)
            continue
        lines.append(json.dumps({"config": {"_class_name": cls} | options, "steps": steps,
                                 "timesteps": [float(f"{t:.8g}") for t in timesteps],
                                 "sample": [float(f"{v:.8g}") for v in sample]}))
    with open(sys.argv[1], "w", encoding="utf-8") as f:
        f.write('{"start": ' + json.dumps(START) + ',\n"rows": [\n' + ",\n".join(lines) + "\n]}\n")


if __name__ == "__main__":
    main()

"""Sounds of the built-in bank that something is struck for: bells, steps, clocks, glass, drops."""

import numpy as np

from curation.synthesis import (
    RATE_HZ,
    Wave,
    convolve,
    drift,
    envelope,
    log_uniform,
    mix,
    noise,
    onsets,
    ring,
    samples,
)


def church_bell(rng: np.random.Generator) -> Wave:
    """One to three church bells, each with a bell's minor third, in turn."""
    # hum, prime, minor third, fifth, nominal...
    ratios = np.array([0.5, 1.0, 1.2, 1.5, 2.0, 2.5, 2.67, 3.01, 4.17, 5.43, 6.8, 8.2])
    weights = np.array([0.4, 0.6, 0.8, 0.3, 1.0, 0.4, 0.4, 0.7, 0.5, 0.35, 0.25, 0.15])
    tenor_hz, total = log_uniform(rng, 260.0, 620.0), rng.uniform(3.5, 5.7)
    scale = 2.0 ** (np.array([0, 2, 4, 5, 7]) / 12.0)
    bells = []
    for step in rng.permutation(5)[: int(rng.integers(1, 4))]:
        modes_hz = tenor_hz * scale[step] * ratios * rng.normal(1.0, 0.006, 12)
        t60 = rng.uniform(4.0, 9.0) * ratios**-0.8 * rng.uniform(0.7, 1.3, 12)
        beats_hz = np.concatenate([modes_hz, modes_hz + rng.uniform(0.4, 2.5, 12)])
        levels = weights * rng.uniform(0.5, 1.2, 12)
        gains = np.concatenate([levels, rng.uniform(0.3, 0.7) * levels])
        bells.append(ring(beats_hz, np.tile(t60, 2), gains, total))
    strikes, period = [], rng.uniform(0.3, 1.3)
    for place, onset in enumerate(onsets(rng, int(rng.integers(2, 15)), period, jitter=0.06)):
        if onset > total - 0.8:
            break
        struck = bells[place % len(bells)][: samples(total - onset)]
        strikes.append((onset, struck * rng.uniform(0.7, 1.0)))
    bell = mix(strikes)
    return bell * envelope([(0, 1), (0.85, 1), (1, 0)], len(bell))


def door_knock(rng: np.random.Generator) -> Wave:
    """Two to five knocks of knuckles on a wooden door."""
    modes_hz = np.array([log_uniform(rng, 90.0, 200.0) * r for r in (1.0, 1.9, 3.1, 4.6, 7.5)]) * rng.uniform(
        0.9, 1.1, 5
    )
    t60 = rng.uniform(0.06, 0.16) * np.array([1.0, 0.8, 0.6, 0.4, 0.25])
    levels = np.array([1.0, 0.8, 0.5, 0.3, 0.15]) * rng.uniform(0.5, 1.2, 5)
    hits = []
    for onset in onsets(rng, int(rng.integers(2, 6)), rng.uniform(0.14, 0.32), jitter=0.15):
        thud = ring(modes_hz, t60, levels * rng.uniform(0.7, 1.2, 5), 0.25)
        knuckle = noise(rng, samples(0.01), [(300.0, -6.0), (1200.0, 0.0), (5000.0, -24.0)])
        fall = envelope([(0, 0.5), (0.3, 0.3), (1, 0)], len(knuckle))
        hits.append((onset, mix([(0.0, thud), (0.0, knuckle * fall)]) * rng.uniform(0.6, 1.0)))
    return mix(hits)


def footsteps(rng: np.random.Generator) -> Wave:
    """Steps of heel and toe on a floor, hard to gritty."""
    floor_hz, grit = log_uniform(rng, 400.0, 1600.0), rng.uniform(0.0, 0.8)
    thump_hz, tap = rng.uniform(80.0, 180.0), rng.uniform(0.007, 0.018) * (1 + 2 * grit)
    thump = log_uniform(rng, 0.5, 1.5)
    steps = []
    for foot, onset in enumerate(onsets(rng, int(rng.integers(4, 10)), rng.uniform(0.42, 0.68), jitter=0.06)):
        side = 1.06 if foot % 2 else 0.94
        heel_toe = ((0.0, 1.0, 0.8), (rng.uniform(0.06, 0.12), rng.uniform(0.25, 0.7), 1.4))
        for delay, level, bright in heel_toe:
            length = samples(tap * rng.uniform(4.0, 6.0))
            hz = floor_hz * side * bright
            scuff = noise(rng, length, [(hz / 8, -15.0), (hz, 0.0), (hz * 2.5, -9.0), (hz * 10, -32.0)])
            heel = noise(rng, length, [(30.0, -20.0), (thump_hz * side, 0.0), (thump_hz * 6, -36.0)])
            now = np.arange(length) / samples(tap)
            fall = (1 - np.exp(-now / 0.12)) * np.exp(-now)
            crunch = np.exp(drift(rng, length, every=0.003, spread=grit))
            step = scuff * (fall * crunch) + heel * (thump / bright * fall)
            steps.append((onset + delay, step * level))
    return mix(steps)


def telephone_ring(rng: np.random.Generator) -> Wave:
    """An old telephone: a hammer between two gongs."""
    gong_hz, beat = log_uniform(rng, 900.0, 1700.0), rng.uniform(18.0, 27.0)
    gongs_hz = (gong_hz, gong_hz * rng.uniform(1.12, 1.3))
    ratios = np.array([1.0, 2.33, 3.9, 5.7, 7.8]) * rng.uniform(0.97, 1.03, 5)
    burst, count = rng.uniform(0.4, 1.8), int(rng.integers(1, 4))
    count = max(1, min(count, int(5.0 / (burst + 0.4))))
    length = samples(burst + 0.7)
    total = np.zeros(length, dtype=np.float32)
    for side, hz in enumerate(gongs_hz):
        strikes = np.zeros(length, dtype=np.float32)
        at = (np.arange(side * 0.5, burst * beat) / beat * RATE_HZ).astype(np.int64)
        strikes[at] = rng.uniform(0.7, 1.0, len(at))
        gong = ring(
            hz * ratios,
            rng.uniform(0.5, 1.1) / ratios**0.6,
            rng.uniform(0.3, 1.0, 5) / ratios**0.3,
            0.6,
        )
        total += convolve(strikes, gong)
    period = burst + rng.uniform(0.25, 0.8)
    return mix((period * place, total) for place in range(count))


def clock_tick(rng: np.random.Generator) -> Wave:
    """A clock's tick and tock."""
    period = float(rng.choice([0.2, 0.25, 0.5, 1.0])) * rng.uniform(0.95, 1.05)
    case_hz = np.array([log_uniform(rng, 900.0, 6000.0) for _ in range(9)])
    t60, levels = rng.uniform(0.004, 0.025, 9), rng.uniform(0.2, 1.0, 9)
    tock, bright_hz = rng.uniform(0.75, 1.0), log_uniform(rng, 2500.0, 6000.0)
    ticks = []
    for place, onset in enumerate(onsets(rng, int(rng.uniform(2.5, 5.0) / period), period, jitter=0.01)):
        bend, level = (tock, 0.8) if place % 2 else (1.0, 1.0)
        for delay, part in (
            (0.0, 0.5),
            (0.006, 1.0),
            (rng.uniform(0.014, 0.016), 0.4),
        ):  # an escapement's three clicks
            click = ring(case_hz * bend, t60, levels * rng.uniform(0.7, 1.3, 9), 0.03)
            scrape = noise(rng, len(click), [(400.0, -24.0), (bright_hz * bend, 0.0), (14e3, -24.0)])
            scrape *= np.exp(-np.arange(len(click)) / samples(0.0015))
            ticks.append((onset + delay, (click + scrape) * (part * level)))
    return mix(ticks)


def hammering(rng: np.random.Generator) -> Wave:
    """A hammer that drives a nail into wood."""
    metal_hz = log_uniform(rng, 1400.0, 3000.0) * np.array([1.0, 1.6, 2.3, 2.9, 3.8, 4.6]) * rng.uniform(0.92, 1.08, 6)
    wood_hz = log_uniform(rng, 140.0, 320.0) * np.array([1.0, 2.1, 3.4, 5.2])
    t60, sink = rng.uniform(0.03, 0.12), rng.uniform(1.0, 1.04)  # a nail rings higher as it goes in
    metal, hits = log_uniform(rng, 0.1, 0.4), []
    for place, onset in enumerate(onsets(rng, int(rng.integers(3, 8)), rng.uniform(0.3, 0.7), jitter=0.08)):
        nail = ring(
            metal_hz * sink**place,
            t60 * np.linspace(1, 0.4, 6),
            metal * rng.uniform(0.5, 1.0, 6),
            0.2,
        )
        wood = ring(wood_hz, [0.1, 0.07, 0.05, 0.03], rng.uniform(0.4, 0.9, 4), 0.2)
        clack = noise(rng, samples(0.03), [(200.0, -9.0), (1200.0, 0.0), (4000.0, 0.0), (14e3, -12.0)])
        clack *= np.exp(-np.arange(len(clack)) / samples(0.006))
        hits.append((onset, mix([(0.0, nail), (0.0, wood), (0.0, clack)]) * rng.uniform(0.7, 1.0)))
    return mix(hits)


def glass_break(rng: np.random.Generator) -> Wave:
    """A pane that breaks, and its falling pieces."""
    crash = noise(
        rng,
        samples(rng.uniform(0.1, 0.3)),
        [(200.0, -18.0), (2500.0, 0.0), (7e3, 2.0), (14e3, -6.0)],
    )
    crash *= np.exp(-np.arange(len(crash)) / samples(rng.uniform(0.02, 0.06)))
    pieces, pane_hz = (
        [
            (0.0, crash),
            (0.0, ring([pane_hz := rng.uniform(300, 900), pane_hz * 2.6], 0.08, 0.5, 0.1)),
        ],
        0.0,
    )
    spread, low_hz = rng.uniform(0.15, 0.5), log_uniform(rng, 1800.0, 3500.0)
    for onset in np.minimum(rng.exponential(spread, int(rng.integers(25, 70))), 1.8).tolist():
        modes_hz = log_uniform(rng, low_hz, 9000.0) * np.array([1.0, 1.41, 1.93, 2.57])
        shard = ring(modes_hz, log_uniform(rng, 0.03, 0.3), rng.uniform(0.2, 1.0, 4), 0.2)
        pieces.append((onset, shard * (0.6 * rng.exponential(0.5) * np.exp(-onset))))
    return mix(pieces)


def water_drip(rng: np.random.Generator) -> Wave:
    """Drops into water, each a click and the bubbles it makes."""
    pitch_hz, drips = log_uniform(rng, 500.0, 1700.0), []
    now = np.arange(samples(0.12)) / RATE_HZ
    for onset in onsets(rng, int(rng.integers(3, 9)), log_uniform(rng, 0.2, 0.7), jitter=0.35):
        bubbles = [(0.0, ring([3100.0, 5200.0, 7900.0], 0.008, rng.uniform(0.1, 0.4, 3), 0.02))]
        for _ in range(int(rng.integers(1, 4))):
            hz, decay = pitch_hz * rng.uniform(0.7, 1.4), rng.uniform(0.005, 0.018)
            phase = hz * (now + rng.uniform(0.5, 5.0) * now**2)  # a bubble's note rises as it closes
            plop = np.sin(2 * np.pi * phase) * np.exp(-now / decay) * (1 - np.exp(-now / 0.001))
            bubbles.append((rng.uniform(0.003, 0.04), (rng.uniform(0.4, 1.0) * plop)))
        drips.append((onset, mix(bubbles) * rng.uniform(0.6, 1.0)))
    return mix(drips)

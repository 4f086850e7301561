"""Sounds of the built-in bank made of noise: its backgrounds, and thunder."""

import numpy as np

from curation.synthesis import (
    RATE_HZ,
    Wave,
    convolve,
    drift,
    envelope,
    harmonics,
    log_uniform,
    mix,
    noise,
    ring,
    samples,
    unit,
)


def thunder(rng: np.random.Generator) -> Wave:
    """A near or far clap of thunder and the rumble after it."""
    length = samples(rng.uniform(3.8, 5.6))
    now = np.arange(length) / RATE_HZ
    corner_hz = log_uniform(rng, 70.0, 160.0)
    deep = noise(rng, length, [(25.0, -6.0), (corner_hz, 0.0), (corner_hz * 6, -16.0), (6e3, -50.0)])
    mid = noise(rng, length, [(60.0, -6.0), (200.0, 0.0), (700.0, -9.0), (3e3, -28.0), (14e3, -50.0)])
    rumble, crack = np.zeros(length), np.zeros(length)
    for onset in [0.0, *np.sort(rng.uniform(0.0, 0.6 * now[-1], int(rng.integers(2, 7)))).tolist()]:
        since = np.maximum(now - onset, 0.0)
        clap = rng.uniform(0.3, 1.5) * np.exp(-onset / 2.5) * (since > 0)
        rumble += clap * (1 - np.exp(-since / 0.05)) * np.exp(-since / rng.uniform(0.6, 1.6))
        crack += clap * (1 - np.exp(-since / 0.004)) * np.exp(-since / rng.uniform(0.1, 0.6))
    shake = np.exp(drift(rng, length, every=0.08, spread=0.25)) * envelope([(0, 1), (0.8, 1), (1, 0)], length)
    near = log_uniform(rng, 0.5, 2.0)
    return deep * (rumble * shake) + near * mid * (crack * shake)


def rain(rng: np.random.Generator) -> Wave:
    """A hiss of far drops and the patter of near ones."""
    length = samples(rng.uniform(15.0, 25.0))
    centre_hz = log_uniform(rng, 1500.0, 6000.0)
    hiss = noise(rng, length, [(100.0, -22.0), (centre_hz / 3, -6.0), (centre_hz, 0.0), (12e3, -9.0)])
    drops = np.zeros(length, dtype=np.float32)
    at = rng.integers(0, length, round(log_uniform(rng, 40.0, 400.0) * length / RATE_HZ))
    drops[at] = rng.exponential(1.0, len(at)) ** 1.5
    modes_hz = [log_uniform(rng, 500.0, 9000.0) for _ in range(6)]
    drop = ring(modes_hz, rng.uniform(0.004, 0.02, 6), rng.uniform(-1, 1, 6), 0.02)
    patter = convolve(drops, drop)
    return hiss + unit(patter) * log_uniform(rng, 0.3, 1.2)


def wind(rng: np.random.Generator) -> Wave:
    """Gusts: a low rumble, and a howl that swells and brightens with them."""
    length = samples(rng.uniform(15.0, 25.0))
    gust = drift(rng, length, every=rng.uniform(0.8, 2.5), spread=1.0)
    howl_hz = log_uniform(rng, 250.0, 700.0)
    layers = (
        (0.3, 1.0, [(30.0, 0.0), (120.0, 0.0), (500.0, -24.0), (4000.0, -60.0)]),
        (0.6, rng.uniform(0.3, 0.9), [(howl_hz / 2, -30.0), (howl_hz, 0.0), (howl_hz * 2, -30.0)]),
        (
            0.9,
            rng.uniform(0.1, 0.3),
            [(howl_hz, -30.0), (howl_hz * 2.5, 0.0), (howl_hz * 8, -30.0)],
        ),
    )
    total = np.zeros(length, dtype=np.float32)
    for swing, level, spectrum in layers:
        own = gust + drift(rng, length, every=0.5, spread=0.4)
        total += (level * np.exp(swing * own)) * noise(rng, length, spectrum)
    return total


def sea_waves(rng: np.random.Generator) -> Wave:
    """Surf: each wave swells, breaks bright and runs back with a long hiss."""
    length = samples(rng.uniform(18.0, 25.0))
    period = rng.uniform(5.0, 9.0)
    now = np.arange(length) / RATE_HZ
    roar, wash = np.full(length, 0.25), np.full(length, 0.08)
    for crest in np.arange(-rng.uniform(0.0, period), now[-1] + 3.0, period):
        since = now - crest - rng.normal(0.0, 0.12 * period)
        size = rng.uniform(0.6, 1.0)
        roar += size * np.exp(-(np.where(since < 0, since / 0.9, since / 1.3) ** 2))
        wash += size * np.where(since < 0, np.exp(-((since / 0.5) ** 2)), np.exp(-np.maximum(since, 0) / 1.6))
    low = noise(rng, length, [(40.0, -6.0), (200.0, 0.0), (700.0, -8.0), (4000.0, -35.0)])
    high_hz = log_uniform(rng, 1500.0, 4000.0)
    high = noise(rng, length, [(150.0, -30.0), (high_hz, 0.0), (12e3, -18.0)])
    return roar * low + rng.uniform(0.7, 1.3) * wash * high


def stream(rng: np.random.Generator) -> Wave:
    """Babbling water: many bubbles, each a short sine that rises as it decays, over a soft rush."""
    length = samples(rng.uniform(15.0, 25.0))
    centre_hz = log_uniform(rng, 500.0, 1200.0)
    bubbles = np.zeros(length, dtype=np.float32)
    now = np.arange(samples(0.06)) / RATE_HZ
    shapes = []
    for _ in range(60):
        hz, decay = centre_hz * log_uniform(rng, 0.5, 2.5), rng.uniform(0.006, 0.02)
        rise = hz * (now + rng.uniform(0.0, 5.0) * now**2)
        shapes.append(np.sin(2 * np.pi * rise) * np.exp(-now / decay))
    at = rng.integers(0, length - len(now), round(rng.uniform(50.0, 140.0) * length / RATE_HZ))
    kinds, levels = rng.integers(0, 60, len(at)), rng.exponential(1.0, len(at))
    for start, kind, level in zip(at.tolist(), kinds.tolist(), levels, strict=True):
        bubbles[start : start + len(now)] += level * shapes[kind]
    rush = noise(rng, length, [(80.0, -20.0), (400.0, 0.0), (2000.0, -5.0), (9000.0, -22.0)])
    return unit(bubbles) + rush * log_uniform(rng, 0.2, 0.6)


def city_traffic(rng: np.random.Generator) -> Wave:
    """A street from afar: a low roar, and cars that swell and pass with their motors and tyres."""
    length = samples(rng.uniform(15.0, 25.0))
    corner_hz = log_uniform(rng, 90.0, 250.0)
    roar = noise(rng, length, [(30.0, -4.0), (corner_hz, 0.0), (corner_hz * 6, -22.0), (12e3, -55.0)])
    cars = [(0.0, roar)]
    for _ in range(int(rng.integers(3, 7))):
        num_near = samples(rng.uniform(4.0, 9.0))
        away = np.linspace(-3.0, 3.0, num_near)  # falls in pitch as it passes
        pitch_hz = log_uniform(rng, 45.0, 110.0) * (1.0 - 0.06 * np.tanh(away))
        pitch_hz = pitch_hz * (1.0 + drift(rng, num_near, every=0.2, spread=0.01))
        motor = harmonics(pitch_hz, rng.uniform(0.1, 0.5, (6, 1)))
        tyres = noise(rng, num_near, [(100.0, -12.0), (700.0, 0.0), (1800.0, -8.0), (10e3, -40.0)])
        near = rng.uniform(0.4, 1.2) * np.hanning(num_near) / (1.0 + away**2)
        cars.append((rng.uniform(0.0, (length - num_near) / RATE_HZ), near * (tyres + motor)))
    return mix(cars)


def room_tone(rng: np.random.Generator) -> Wave:
    """A quiet room: mains hum with its harmonics, and the air of a ventilator."""
    length = samples(rng.uniform(15.0, 25.0))
    mains_hz = float(rng.choice([50.0, 60.0]))
    levels = rng.exponential(1.0, 10)[:, None] / np.arange(1, 11)[:, None] ** 0.7
    hum = harmonics(np.full(length, mains_hz * 2), levels)
    fan_hz = log_uniform(rng, 120.0, 500.0)
    air = noise(rng, length, [(40.0, -3.0), (fan_hz, 0.0), (fan_hz * 8, -30.0), (12e3, -45.0)])
    return air + unit(hum) * log_uniform(rng, 0.3, 1.2)

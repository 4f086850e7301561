"""Sounds of the built-in bank that hold a pitch: sirens, horns, engines, whistles, animals."""

import numpy as np
from scipy import signal

from curation.synthesis import (
    RATE_HZ,
    Wave,
    convolve,
    drift,
    envelope,
    formants,
    harmonics,
    log_uniform,
    mix,
    noise,
    onsets,
    pulses,
    ring,
    samples,
    unit,
)


def siren(rng: np.random.Generator) -> Wave:
    """A siren that wails, yelps or changes between two tones."""
    length = samples(rng.uniform(3.0, 5.5))
    low_hz, octaves = log_uniform(rng, 400.0, 750.0), rng.uniform(0.9, 1.6)
    turn = np.arange(length) / RATE_HZ + rng.uniform(0.0, 3.0)
    match rng.integers(3):
        case 0:  # wail
            sweep = 0.5 - 0.5 * np.cos(2 * np.pi * rng.uniform(0.2, 0.45) * turn)
        case 1:  # yelp: quick up, slower down
            part = (rng.uniform(2.0, 4.0) * turn) % 1.0
            sweep = np.where(part < 0.35, part / 0.35, (1.0 - part) / 0.65)
        case _:  # two tones, a fourth apart or so
            octaves = rng.uniform(0.3, 0.5)
            sweep = np.clip(20.0 * np.sin(2 * np.pi * rng.uniform(0.5, 1.0) * turn), -1, 1) * 0.5 + 0.5
    order = np.arange(1.0, 9.0)
    gains = order ** -rng.uniform(0.8, 1.6) * rng.uniform(0.3, 1.0, 8)
    gains[0] = 1.0
    swell = np.exp(drift(rng, length, every=1.5, spread=0.25))
    tone = harmonics(low_hz * 2.0 ** (octaves * sweep), gains[:, None])
    return tone * (swell * envelope([(0, 0.2), (0.08, 1), (0.93, 1), (1, 0.1)], length))


def engine(rng: np.random.Generator) -> Wave:
    """A combustion engine: cylinders fire into a resonant pipe while the speed rises and falls."""
    length = samples(rng.uniform(2.5, 5.5))
    idle_hz, revs = log_uniform(rng, 18.0, 55.0), rng.uniform(0.0, 1.3)
    path = [
        (0.0, 0.0),
        (rng.uniform(0.2, 0.4), revs),
        (rng.uniform(0.5, 0.7), revs * rng.uniform(0.3, 1.0)),
        (1.0, 0.0),
    ]
    speed = envelope(path, length) + drift(rng, length, every=0.15, spread=0.03)
    cylinders = rng.uniform(0.6, 1.2, int(rng.choice([1, 2, 4, 6])))
    fire = pulses(rng, idle_hz * 2.0**speed, jitter=0.12, pattern=cylinders)
    pipe_hz = log_uniform(rng, 55.0, 110.0) * np.array([1.0, 1.8, 2.9, 4.3, 7.0, 11.0, 19.0]) * rng.uniform(0.9, 1.1, 7)
    pipe = ring(
        pipe_hz,
        rng.uniform(0.08, 0.2) * np.linspace(1, 0.4, 7),
        rng.uniform(0.4, 1.0, 7) * 0.75 ** np.arange(7),
        0.2,
    )
    exhaust = convolve(fire, pipe)
    puff = convolve(fire, np.exp(-np.arange(samples(0.03)) / samples(0.006)))
    hiss = noise(rng, length, [(60.0, -12.0), (300.0, 0.0), (2500.0, -9.0), (12e3, -30.0)]) * (0.2 + puff)
    load = np.exp(0.6 * speed) * envelope([(0, 0), (0.06, 1), (0.92, 1), (1, 0)], length)
    return (unit(exhaust) + unit(hiss) * log_uniform(rng, 0.15, 0.6)) * load


def bird_chirp(rng: np.random.Generator) -> Wave:
    """A small bird's song: phrases of quick sweeps."""
    centre_hz, pace = log_uniform(rng, 2600.0, 5200.0), rng.uniform(0.06, 0.2)
    songs = []
    for _ in range(int(rng.integers(1, 4))):  # the bird's repertoire: a pitch path in octaves for each syllable
        path = rng.uniform(-0.45, 0.45, int(rng.integers(2, 5)))
        trill_hz, trill = rng.uniform(25.0, 60.0), float(rng.choice([0.0, 0.0, 0.12]))
        songs.append((path, trill_hz, trill, pace * rng.uniform(0.5, 1.2)))
    parts: list[tuple[float, Wave]] = []
    now = 0.0
    for _ in range(int(rng.integers(1, 4))):
        path, trill_hz, trill, duration = songs[int(rng.integers(len(songs)))]
        for _ in range(int(rng.integers(2, 8))):
            length = samples(duration * rng.uniform(0.9, 1.1))
            octaves = envelope(list(zip(np.linspace(0, 1, len(path)).tolist(), path, strict=True)), length)
            octaves += trill * np.sin(2 * np.pi * trill_hz * np.arange(length) / RATE_HZ) + rng.normal(0.0, 0.02)
            chirp = harmonics(centre_hz * 2.0**octaves, np.array([[1.0], [rng.uniform(0.02, 0.12)]]))
            parts.append((now, chirp * np.hanning(length) ** 0.7))
            now += duration * rng.uniform(1.2, 1.7)
        now += rng.uniform(0.1, 0.4)
    return mix(parts)


def alarm_beep(rng: np.random.Generator) -> Wave:
    """An alarm clock's beeps, in groups."""
    pitch_hz, beep = log_uniform(rng, 900.0, 3200.0), log_uniform(rng, 0.05, 0.25)
    group, gap = int(rng.integers(1, 5)), rng.uniform(0.7, 1.3)
    rest = beep * gap + rng.uniform(0.1, 0.5)
    order = np.arange(1.0, 12.0)
    gains = np.where(order % 2 == 1, 1.0, rng.uniform(0.0, 0.4)) * order ** -rng.uniform(0.7, 1.5)
    length = samples(beep)
    tone = harmonics(np.full(length, pitch_hz), gains[:, None])
    tone *= envelope([(0, 0), (0.03, 1), (0.95, 1), (1, 0)], length)
    parts: list[tuple[float, Wave]] = []
    now, end = 0.0, rng.uniform(1.5, 4.5)
    while now < end or len(parts) < group:
        parts += [(now + beep * (1 + gap) * place, tone) for place in range(group)]
        now += group * beep * (1 + gap) + rest
    return mix(parts)


def whistling(rng: np.random.Generator) -> Wave:
    """A person whistling a tune, with glides, vibrato and breath."""
    tonic_hz, notes = log_uniform(rng, 750.0, 1300.0), int(rng.integers(3, 9))
    scale = np.array([-5, -3, 0, 2, 4, 5, 7, 9, 12]) / 12.0
    place = np.clip(np.cumsum(rng.integers(-2, 3, notes)) + 4, 0, 8)
    durations = rng.uniform(0.16, 0.55) * rng.choice([1.0, 1.0, 2.0], notes)
    durations *= min(1.0, 5.0 / durations.sum())
    octaves = np.repeat(scale[place], [samples(float(d)) for d in durations])
    length = len(octaves)
    glide = np.hanning(samples(rng.uniform(0.05, 0.11)))
    padded = np.pad(octaves, len(glide) // 2, mode="edge")
    octaves = signal.oaconvolve(padded, glide / glide.sum(), "same")[len(glide) // 2 :][:length]
    depth = envelope([(0, 0), (1, rng.uniform(0.0, 0.03))], length)
    octaves += depth * np.sin(2 * np.pi * rng.uniform(4.5, 6.5) * np.arange(length) / RATE_HZ)
    octaves += drift(rng, length, every=0.1, spread=0.006)
    gate = np.repeat(rng.uniform(0.6, 1.0, notes), [samples(float(d)) for d in durations])
    dip = np.concatenate([envelope([(0, 0.15), (0.12, 1), (0.85, 1), (1, 0.15)], samples(float(d))) for d in durations])
    tone = harmonics(tonic_hz * 2.0**octaves, np.array([[1.0], [rng.uniform(0.02, 0.1)], [0.015]]))
    breath = noise(rng, length, [(400.0, -25.0), (tonic_hz * 1.5, 0.0), (9e3, -12.0)])
    return np.asarray((tone + breath * rng.uniform(0.01, 0.05)) * gate * dip)


def car_horn(rng: np.random.Generator) -> Wave:
    """A car horn of one or two tones, pressed one to three times."""
    low_hz, interval = log_uniform(rng, 300.0, 480.0), float(rng.choice([1.19, 1.26, 1.26, 1.33]))
    order = np.arange(1, 31)[:, None]
    throat_hz = log_uniform(rng, 1500.0, 3500.0)
    horns = (
        (low_hz, 1.0),
        (low_hz * interval * rng.uniform(0.99, 1.01), float(rng.choice([0.0, 0.9, 1.0]))),
    )
    honks, now = [], 0.0
    for _ in range(int(rng.integers(1, 4))):
        length = samples(log_uniform(rng, 0.2, 1.5))
        attack = np.minimum(1.0, np.arange(length) / samples(0.025))
        total = np.zeros(length, dtype=np.float32)
        for hz, level in horns:
            gains = (
                order**-0.7 * (0.3 + 1 / (1 + ((order * hz - throat_hz) / 900.0) ** 2)) * rng.uniform(0.7, 1.0, (30, 1))
            )
            pitch = hz * (0.985 + 0.015 * attack) * (1 + drift(rng, length, every=0.05, spread=0.0015))
            total += level * harmonics(pitch, gains)
        fall = np.minimum(1.0, np.arange(length)[::-1] / samples(0.03))
        honks.append((now, total * (attack * fall)))
        now += length / RATE_HZ + rng.uniform(0.1, 0.35)
    return mix(honks)


def _voice(
    rng: np.random.Generator,
    pitch_hz: list[float],
    mouth_hz: list[list[float]],
    duration: float,
    *,
    breath: float,
    tilt: float,
) -> Wave:
    """An animal's call; its pitch and resonances in Hz at evenly spaced points of the call."""
    length, where = samples(duration), np.linspace(0.0, 1.0, 40)
    at_points = np.interp(where, np.linspace(0.0, 1.0, len(pitch_hz)), pitch_hz)
    centres = [np.interp(where, np.linspace(0.0, 1.0, len(path)), path) for path in mouth_hz]
    pitch = np.interp(np.linspace(0.0, 1.0, length), where, at_points)
    pitch *= 1.0 + drift(rng, length, every=0.012, spread=0.012)
    tone = harmonics(pitch, formants(at_points, centres, width_hz=160.0, tilt=tilt, num=45))
    middle = [float(np.mean(path)) for path in mouth_hz]
    air = noise(
        rng,
        length,
        [(middle[0] / 3, -25.0), (middle[0], 0.0), (middle[-1], -6.0), (middle[-1] * 3, -30.0)],
    )
    return unit(tone) + breath * air


def dog_bark(rng: np.random.Generator) -> Wave:
    """Two to five barks of one dog, small or large."""
    size = log_uniform(rng, 0.7, 1.6)  # 1 is a middling dog; a large one is below 1, all its pitches lower
    pitch_hz, duration = 480.0 * size, rng.uniform(0.17, 0.28) / size**0.5
    barks = []
    for onset in onsets(rng, int(rng.integers(2, 6)), duration + rng.uniform(0.12, 0.45), jitter=0.2):
        high = pitch_hz * rng.uniform(0.9, 1.15)
        contour = [high * 0.75, high, high * 1.02, high * 0.9, high * 0.7]
        mouth = [
            [600 * size, 1050 * size, 950 * size, 600 * size],
            [1400 * size, 1800 * size, 1400 * size],
        ]
        bark = _voice(
            rng,
            contour,
            mouth,
            duration * rng.uniform(0.9, 1.1),
            breath=rng.uniform(0.15, 0.4),
            tilt=1.2,
        )
        bark *= envelope([(0, 0), (0.15, 0.8), (0.3, 1), (0.55, 0.6), (0.75, 0.12), (1, 0)], len(bark))
        barks.append((onset, bark * rng.uniform(0.7, 1.0)))
    return mix(barks)


def frog_croak(rng: np.random.Generator) -> Wave:
    """Croaks: a tone in the throat, chopped by slow pulses."""
    throat_hz, rate_hz = log_uniform(rng, 900.0, 2600.0), log_uniform(rng, 40.0, 120.0)
    bend, chest = (
        rng.uniform(0.05, 0.5),
        np.array([[rng.uniform(0.05, 0.3)], [1.0], [rng.uniform(0.0, 0.15)]]),
    )
    click = np.exp(-np.arange(samples(0.04)) / samples(rng.uniform(0.15, 0.5) / rate_hz))
    duration, rise = rng.uniform(0.18, 0.55), rng.uniform(0.8, 1.5)
    croaks = []
    for onset in onsets(rng, int(rng.integers(2, 6)), duration + rng.uniform(0.12, 0.4), jitter=0.1):
        length = samples(duration * rng.uniform(0.9, 1.1))
        rate = rate_hz * envelope([(0, 1.0), (1, rise)], length)
        octaves = envelope([(0, -bend), (0.8, 0), (1, -0.2 * bend)], length)
        octaves += drift(rng, length, every=0.004, spread=0.06)
        croak = harmonics(0.5 * throat_hz * 2.0**octaves, chest) * convolve(pulses(rng, rate, jitter=0.2), click)
        croak *= envelope([(0, 0.1), (0.25, 0.7), (0.7, 1), (0.95, 0.8), (1, 0)], length)
        croaks.append((onset, croak * rng.uniform(0.8, 1.0)))
    return mix(croaks)


def cat_meow(rng: np.random.Generator) -> Wave:
    """One to three meows, the mouth opening and closing."""
    pitch_hz, size = log_uniform(rng, 520.0, 850.0), rng.uniform(0.9, 1.15)
    contour = [pitch_hz * r for r in (0.8, 1.05, 1.12, 1.05, rng.uniform(0.6, 0.9))]
    opening = [
        [700.0, 1500.0, 1650.0, 1300.0, 750.0],
        [2600.0, 3600.0, 3200.0, 2400.0, 1700.0],
        [5500.0],
    ]
    mouth = [[hz * size for hz in path] for path in opening]
    meows = []
    duration = rng.uniform(0.45, 1.0)
    for onset in onsets(rng, int(rng.integers(1, 4)), duration + rng.uniform(0.2, 0.7), jitter=0.1):
        own = [hz * rng.uniform(0.95, 1.05) for hz in contour]
        meow = _voice(
            rng,
            own,
            mouth,
            duration * rng.uniform(0.85, 1.15),
            breath=rng.uniform(0.02, 0.1),
            tilt=0.3,
        )
        meow *= envelope([(0, 0), (0.12, 0.6), (0.35, 1), (0.75, 0.6), (1, 0)], len(meow))
        meows.append((onset, meow))
    return mix(meows)

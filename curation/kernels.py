"""The inner loops of mixing, compiled: NumPy would pass over a soundscape's samples a dozen times.

Without fast-math, so that every processor gives the same bits. Samples are float32 here, full scale 1.0, and int16 in
the bank and in the finished soundscape.
"""

import numpy as np
from jaxtyping import Float, Float32, Float64, Int16, Int64

from manifests.compiled import compiled

Sound = Int16[np.ndarray, " part"] | Float32[np.ndarray, " part"]  # of the bank, or as effects left it


@compiled
def fill(out: Float32[np.ndarray, " part"], sound: Sound, gain: np.float32) -> None:
    """out = gain * sound. In these loops, an index that can only count up lets the compiler use vectors."""
    for i in range(len(out)):
        out[i] = gain * np.float32(sound[i])


@compiled
def add(
    out: Float32[np.ndarray, " part"],
    sound: Sound,
    gain: np.float32,
    fade: Float32[np.ndarray, " edge"],
    first: int,
    length: int,
) -> None:
    """out += gain * sound, a part of a sound whose start is multiplied by `fade` and whose end by the same backwards.

    Args:
        out: as long as the part.
        sound: the part.
        gain: a factor.
        fade: at most half of the sound long.
        first: where the part begins in the sound.
        length: of the whole sound.
    """
    num_samples, num_fade = len(sound), len(fade)
    start = min(max(num_fade - first, 0), num_samples)
    end = max(min(length - num_fade - first, num_samples), start)
    for i in range(start):
        out[i] += gain * (fade[first + i] * np.float32(sound[i]))
    middle, between = out[start:end], sound[start:end]
    for i in range(len(middle)):
        middle[i] += gain * np.float32(between[i])
    for i in range(end, num_samples):
        out[i] += gain * (fade[length - 1 - first - i] * np.float32(sound[i]))


@compiled
def peak(samples: Float32[np.ndarray, " sample"]) -> float:
    """The largest absolute value. Found on the bits, which are in the order of the values: that can be vectorised."""
    bits = samples.view(np.int32)
    largest = np.int32(0)
    for i in range(len(bits)):
        largest = max(largest, bits[i] & np.int32(0x7FFFFFFF))
    return float(np.array([largest], dtype=np.int32).view(np.float32)[0])


@compiled
def round_into(out: Int16[np.ndarray, " sample"], samples: Float32[np.ndarray, " sample"], gain: np.float32) -> None:
    """out = gain * samples, which must be under 65,536 then: to the nearest, to even in the middle, clipped."""
    scale = gain * np.float32(32768)
    for i in range(len(samples)):
        value = np.int32(np.rint(samples[i] * scale))
        out[i] = np.int16(max(min(value, np.int32(32767)), np.int32(-32768)))


@compiled
def add_peaks(total: Float64[np.ndarray, " step"], first: int, peaks: Float32[np.ndarray, " own"], gain: float) -> None:
    """total[first:] += gain * peaks of a sound that begins in step `first`: each is in its step or the next."""
    num_own = len(peaks)
    for i in range(min(num_own + 1, len(total) - first)):
        before = peaks[i - 1] if i > 0 else np.float32(0)
        here = peaks[i] if i < num_own else np.float32(0)
        total[first + i] += gain * max(before, here)


@compiled
def add_bands(
    total: Float64[np.ndarray, "step band"], first: int, bands: Float32[np.ndarray, "own band"], power: float
) -> None:
    """total[first:] += power * bands, so far as both go."""
    num_steps, num_bands = min(len(bands), len(total) - first), bands.shape[1]
    for i in range(num_steps):
        for k in range(num_bands):
            total[first + i, k] += power * bands[i, k]


@compiled
def stands_above(  # noqa: PLR0913 (a compiled loop takes arrays and numbers, no records)
    total: Float64[np.ndarray, "step band"],
    place: int,
    bands: Float32[np.ndarray, "own band"],
    power: float,
    runs: Int64[np.ndarray, "run two"],
    run_scale: float,
    floor: float,
    own_share: float,
    limit: float,
) -> Float64[np.ndarray, " run"]:
    """For each run of a sound, how many dB it stands above everything else in the best of the bands that are its own.

    Args:
        total: energies of all sounds together.
        place: the step at which the sound starts.
        bands: its own energies, before its gain.
        power: what they are multiplied by.
        runs: first and end of each run, counted from the sound's start.
        run_scale: steps for each count of `runs`.
        floor: energy that is always there besides, in each step and band.
        own_share: a band with so much of the sound's energy is its own.
        limit: dB; no value is beyond it, in either direction.
    """
    num_bands, num_steps = bands.shape[1], min(len(bands), len(total) - place)
    decibels, own, others = np.zeros(len(runs)), np.zeros(num_bands), np.zeros(num_bands)
    for r in range(len(runs)):
        first = min(int(runs[r, 0] * run_scale + 1e-6), num_steps - 1)
        end = max(min(int(np.ceil(runs[r, 1] * run_scale - 1e-6)), num_steps), first + 1)
        own[:], others[:] = 0.0, 0.0
        for i in range(first, end):
            for k in range(num_bands):
                energy = power * bands[i, k]
                own[k] += energy
                others[k] += max(total[place + i, k] - energy, 0.0) + floor
        needed, ratio = own_share * own.sum(), 1e-30
        for k in range(num_bands):
            if own[k] >= needed:
                ratio = max(ratio, own[k] / others[k])
        decibels[r] = min(max(10 * np.log10(ratio), -limit), limit)
    return decibels


@compiled
def gated_power(powers: Float[np.ndarray, " block"], gain: float, absolute: float, relative: float) -> float:
    """Mean of the blocks, amplified by `gain` in power, that pass both gates (BS.1770 eq. 5 to 7); 0 if none does.

    Args:
        powers: of the blocks.
        gain: what they are multiplied by.
        absolute: the power that a block has to reach.
        relative: the share of the mean of these that it has to exceed.
    """
    total, count = 0.0, 0
    for power in powers:
        if power * gain >= absolute:
            total += power * gain
            count += 1
    if not count:
        return 0.0
    gate = max(relative * total / count, absolute)
    total, count = 0.0, 0
    for power in powers:
        if power * gain > gate:
            total += power * gain
            count += 1
    return total / count if count else 0.0


@compiled
def runs_above(
    levels: Float[np.ndarray, " level"], threshold: float, gap: int, blip: int
) -> Int64[np.ndarray, "run two"]:
    """First level and end of each run above a threshold.

    Gaps of fewer than `gap` levels are filled, then runs of fewer than `blip` are dropped, but the longest if all are.
    """
    runs = np.empty((len(levels) // 2 + 1, 2), np.int64)
    count = 0
    for i in range(len(levels)):
        if not levels[i] > threshold:
            continue
        if count and i - runs[count - 1, 1] < max(gap, 1):
            runs[count - 1, 1] = i + 1
        else:
            runs[count, 0], runs[count, 1] = i, i + 1
            count += 1
    longest, num_kept = 0, 0
    for k in range(count):
        if runs[k, 1] - runs[k, 0] > runs[longest, 1] - runs[longest, 0]:
            longest = k
    first, last = (runs[longest, 0], runs[longest, 1]) if count else (0, 0)
    for k in range(count):
        if runs[k, 1] - runs[k, 0] >= blip:
            runs[num_kept, 0], runs[num_kept, 1] = runs[k, 0], runs[k, 1]
            num_kept += 1
    if count and not num_kept:
        runs[0, 0], runs[0, 1] = first, last
        num_kept = 1
    return runs[:num_kept]

"""Small trees in the layouts in which sets are published, with recordings of noise."""

import json
from pathlib import Path

import numpy as np
import soundfile

RATE = 8000


def write_sound(path: Path, seconds: float = 4.0, *, rate: int = RATE, channels: int = 1) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(len(path.name)).uniform(-0.1, 0.1, (round(seconds * rate), channels))
    soundfile.write(path, noise, rate)


def write_text(path: Path, *lines: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), "utf-8")


def write_desed(root: Path) -> None:
    header = "filename\tonset\toffset\tevent_label"
    write_text(
        root / "metadata/validation/validation.tsv",
        header,
        "Y00pbt6aJV8Y_350.000_360.000.wav\t0.000\t3.500\tVacuum_cleaner",
        "Y00pbt6aJV8Y_350.000_360.000.wav\t1.000\t2.000\tSpeech",
        "Y00pbt6aJV8Y_350.000_360.000.wav\t1.000\t2.000\tSpeech",
        "Y01_0.000_10.000.wav\t\t\t",
        "Y02_0.000_10.000.wav\t2.500\t9.000\tDog",
    )
    write_text(root / "metadata/validation/eval_dcase2018.tsv", header, "Y02_0.000_10.000.wav\t2.500\t9.000\tDog")
    write_text(root / "metadata/validation/validation_durations.tsv", "filename\tduration", "Y01_0.000_10.000.wav\t4.0")
    write_text(root / "metadata/train/weak.tsv", "filename\tevent_labels", "Y03_0.000_10.000.wav\tSpeech,Dog")
    write_text(root / "metadata/train/unlabel_in_domain.tsv", "filename", "Y04_0.000_10.000.wav")
    write_text(root / "metadata/train/synthetic21_train/soundscapes.tsv", header, "0.wav\t0.5\t1.5\tCat")
    write_text(root / "metadata/validation/synthetic21_validation/soundscapes.tsv", header, "0.wav\t1.5\t2.5\tDog")
    write_text(root / "metadata/eval/public.tsv", header, "1Ro0FgMWTUE_120_130.wav\t0.0\t2.081\tSpeech", "quiet.wav")
    for name in ("Y00pbt6aJV8Y_350.000_360.000", "Y01_0.000_10.000", "Y02_0.000_10.000"):
        write_sound(root / f"audio/validation/validation/{name}.wav")
        write_sound(root / f"audio/validation/validation_16k/{name}.wav", rate=2 * RATE)
    write_sound(root / "audio/train/synthetic21_train/soundscapes/0.wav")
    write_sound(root / "audio/validation/synthetic21_validation/soundscapes/0.wav")
    write_sound(root / "audio/eval/public/1Ro0FgMWTUE_120_130.wav")
    write_sound(root / "audio/eval/public/quiet.wav")


def write_audioset(root: Path) -> None:
    header = "segment_id\tstart_time_seconds\tend_time_seconds\tlabel"
    write_text(
        root / "audioset_train_strong.tsv",
        header,
        "b0RFKhbpFJA_30000\t0.627\t4.1\t/m/0bt9lr",
        "b0RFKhbpFJA_30000\t1.0\t2.0\t/m/07qv4k0",
        "both_sides_0\t0.5\t1.0\t/m/0bt9lr",
        "twice_0\t0.5\t1.0\t/m/0bt9lr",
        "twice_20000\t0.5\t1.0\t/m/0bt9lr",
        "gone_0\t0.5\t1.0\t/m/0bt9lr",
    )
    write_text(root / "audioset_eval_strong.tsv", header, "s9d-2nhuJCQ_30000\t2.627\t3.5\t/m/07rwj00",
               "both_sides_10000\t0.5\t1.0\t/m/0bt9lr")  # fmt: skip
    write_text(root / "mid_to_display_name.tsv", "/m/0bt9lr\tDog", "/m/07qv4k0\tGrowling", "/m/07rwj00\tGull, seagull")
    for name in ("Yb0RFKhbpFJA", "both_sides_0", "both_sides_10000", "s9d-2nhuJCQ_30000", "twice"):
        write_sound(root / f"audio/{name}.wav")


def write_urban_sed(root: Path) -> None:
    def jams(label: str) -> str:
        def event(role: str, label: str, time: float, duration: float) -> dict[str, object]:
            value = {"label": label, "role": role, "snr": 10.0, "event_time": time, "pitch_shift": None}
            return {"time": time, "duration": duration, "value": value, "confidence": 1.0}

        data = [event("background", "noise", 0.0, 10.0), event("foreground", label, 1.0, 1.5)]
        return json.dumps({"annotations": [{"namespace": "sound_event", "data": data}], "file_metadata": {}})

    for side in ("train", "validate", "test"):
        stem = f"soundscape_{side}_uniform1"
        write_text(root / f"annotations/{side}/{stem}.jams", jams("siren"))
        write_text(root / f"annotations/{side}/{stem}.txt", "0.5\t1.5\tdog_bark", "1.0\t3.0\tcar_horn")
        write_sound(root / f"audio/{side}/{stem}.wav")
    write_text(root / "annotations/test/soundscape_test_uniform2.jams", jams("siren"))
    write_sound(root / "audio/test/soundscape_test_uniform2.wav")
    write_text(root / "README.txt", "URBAN-SED")


def write_maestro(root: Path) -> None:
    write_text(
        root / "development_annotation/soft_labels_cafe_restaurant/cafe_restaurant_00.txt",
        "0\t1\tcutlery and dishes\t0.7",
        "1\t2\tcutlery and dishes\t0.51",
        "2\t3\tcutlery and dishes\t0.5",
        "3\t4\tcutlery and dishes\t1.0",
        "0\t1\tfootsteps\t0.0",
        "2\t3\tpeople talking\t0.9",
    )
    write_sound(root / "development_audio/cafe_restaurant/cafe_restaurant_00.wav", channels=2)


def grounded(audio_id: str, tokens: str, **phrases: list[list[float]]) -> dict[str, object]:
    items = [
        {"phrase": phrase.replace("_", " "), "start_index": 0, "end_index": 1, "segments": segments}
        for phrase, segments in phrases.items()
    ]
    return {"audiocap_id": 1, "audio_id": audio_id, "tokens": tokens, "phrases": items}


def write_audiogrounding(root: Path) -> None:
    items = [
        grounded("Yone.wav", "a dog barks and a woman speaks", a_dog_barks=[[0.42, 1.3], [2.05, 2.6]], a_woman=[]),
        grounded("Yone.wav", "a dog is barking", a_dog=[[0.42, 1.3]]),
    ]
    write_text(root / "test.json", json.dumps(items))
    write_text(root / "train.json", json.dumps([grounded("Ytwo.wav", "rain falls", rain=[[0.0, 10.0]])]))
    write_sound(root / "audio/test/Yone.wav")
    write_sound(root / "audio/train/Ytwo.wav")


def write_esc50(root: Path) -> None:
    rows = [f"{fold}-10{fold}-A-{target}.wav,{fold},{target},{label},True,10{fold},A"
            for fold in range(1, 6) for target, label in ((0, "dog"), (1, "rooster"))]  # fmt: skip
    write_text(root / "meta/esc50.csv", "filename,fold,target,category,esc10,src_file,take", *rows)
    for row in rows:
        write_sound(root / "audio" / row.partition(",")[0], 2.0)


def write_urbansound8k(root: Path) -> None:
    rows = [f"{100 + fold}-3-0-0.wav,{100 + fold},0.0,1.0,{1 + fold % 2},{fold},3,dog_bark" for fold in range(1, 11)]
    write_text(root / "metadata/UrbanSound8K.csv", "slice_file_name,fsID,start,end,salience,fold,classID,class", *rows)
    for fold in range(1, 11):
        write_sound(root / f"audio/fold{fold}/{100 + fold}-3-0-0.wav", 1.0)


def write_vggsound(root: Path) -> None:
    write_text(
        root / "vggsound.csv",
        '---g-f_I2yQ,1,"people marching",test',
        "--0PQM4-hqg,30,waterfall burbling,train",
        '-0xY,12,"chicken, rooster",train',
    )
    for name in ("---g-f_I2yQ_000001", "--0PQM4-hqg_30000"):
        write_sound(root / f"audio/{name}.flac")


def write_audiocaps(root: Path) -> None:
    header = "audiocap_id,youtube_id,start_time,caption"
    captions = ["A dog barks", "Dog barking", "A dog, barking", "Barks of a dog", "A dog is heard"]
    rows = [f'{number},rqfQRErjfk8,170,"{caption}"' for number, caption in enumerate(captions)]
    write_text(root / "dataset/test.csv", header, *rows)
    write_text(root / "dataset/val.csv", header, "7,vfY_TJq7n_U,130,Rustling occurs")
    write_text(root / "dataset/train.csv", header, "9,r1nicOVtvkQ,130,A woman talks")
    write_sound(root / "audio/rqfQRErjfk8_170_180.wav")
    write_sound(root / "audio/YvfY_TJq7n_U.wav")
    write_sound(root / "audio/r1nicOVtvkQ.wav")


def write_clotho(root: Path) -> None:
    for side, name in (("development", "Ambience - outside"), ("validation", "rain"), ("evaluation", "A (b) [c]")):
        captions = ",".join(f'"Caption {number}, of {side}."' for number in range(1, 6))
        header = "file_name," + ",".join(f"caption_{number}" for number in range(1, 6))
        write_text(root / f"clotho_captions_{side}.csv", header, f"{name}.wav,{captions}")
        write_text(root / f"clotho_metadata_{side}.csv", "file_name,keywords", f"{name}.wav,wind")
        write_sound(root / side / f"{name}.wav")


def write_finelap(root: Path) -> None:
    items = [
        {
            "audio_id": "YdoDQsgDRZ9w.flac",
            "audio_path": "/path/to/your/audio_root/AudioSet_SL/YdoDQsgDRZ9w.flac",
            "caption": "Music and a ticking sound in the background.",
            "phrases": [{"phrase": "Music", "segments": [[0.0, 10.0]]}, {"phrase": "Tick", "segments": [[1.2, 1.8]]}],
        },
        {
            "audio_id": "YXJirC-yJIPw.flac",
            "audio_path": "/path/to/your/audio_root/AudioSet_SL/YXJirC-yJIPw.flac",
            "caption": ["A man speaks.", "Speech."],
            "phrases": [{"phrase": "Male speech, man speaking", "segments": [[0.5, 1.0], {"start": 2.0, "end": 3.0}]}],
        },
        {"audio_id": "x.wav", "audio_path": "/path/to/Clotho/x.wav", "caption": ["Nothing is known of it."]},
    ]
    write_text(root / "test_metadata.jsonl", *map(json.dumps, items))
    for name in ("YdoDQsgDRZ9w.flac", "YXJirC-yJIPw.flac", "x.wav"):
        write_sound(root / "AudioSet_SL" / name)


TREES = {
    "desed": write_desed,
    "audioset-strong": write_audioset,
    "urban-sed": write_urban_sed,
    "maestro": write_maestro,
    "audiogrounding": write_audiogrounding,
    "esc50": write_esc50,
    "urbansound8k": write_urbansound8k,
    "vggsound": write_vggsound,
    "audiocaps": write_audiocaps,
    "clotho": write_clotho,
    "finelap": write_finelap,
}

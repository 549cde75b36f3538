"""Secrets: which names and texts hold one, and that all else stays as it is."""

from __future__ import annotations

import pytest

from rigmark.bench.host import secrets
from rigmark.bench.machine import hardware


@pytest.mark.parametrize(
    "name",
    ["TF_API_KEY", "TORCH_TOKEN", "PYTORCH_PASSWORD", "OMP_SECRET", "XLA_AUTH", "JAX_PASS", "TF_ACCESS_KEYS",
     "TORCH_APIKEY", "NCCL_CREDENTIALS", "--access-token", "apiKey", "X-Amz-Signature", "MKL_PWD"],
)
def test_names_of_secrets(name: str):
    assert secrets.is_one(name)


@pytest.mark.parametrize(
    "name",
    ["KMP_AFFINITY", "TF_CUDNN_USE_AUTOTUNE", "OMP_PLACES", "TF_KEYWORDS", "TF_XLA_PASSES", "TORCH_COMPASS",
     "XLA_AUTHOR", "--xla_disable_hlo_passes", "TORCHINDUCTOR_MAX_AUTOTUNE", "JAX_MONKEY", "key", "OMP_NUM_THREADS",
     "TF_TOKENIZER", "TORCH_COMPILE_STRICT_AUTOGRAD_CACHE"],
)
def test_names_of_other_things(name: str):
    assert not secrets.is_one(name)


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("rigmark ab --package git+https://me:s3cret@host/x", "rigmark ab --package git+https://****@host/x"),
        ("https://me:pa/ss@host/x", "https://****@host/x"),
        ("https://ghp_0123456789abcdefghij0123@github.com/x", "https://****@github.com/x"),
        ("curl --api-key 12ab --model mlp", "curl --api-key **** --model mlp"),
        ("run --token=12ab -v", "run --token=**** -v"),
        ('{"auth_token": "12ab", "model": "mlp"}', '{"auth_token": "****", "model": "mlp"}'),
        ("GET /x?api_key=12ab&page=2", "GET /x?api_key=****&page=2"),
        ("PASSWORD='12ab' ./x", "PASSWORD='****' ./x"),
        ("Authorization: Bearer abcd.1234", "Authorization: Bearer ****"),
        ("login hf_0123456789abcdefghijKLMN failed", "login **** failed"),
    ],
)
def test_of_a_text_only_the_secret_goes(said: str, shown: str):
    assert shown == secrets.hidden(said)
    assert shown == secrets.hidden(shown)


@pytest.mark.parametrize(
    "said",
    [
        "KeyError: 'conv1.weight'", "unexpected token: '<' at 5", "Missing key(s) in state_dict: fc.bias",
        "sorted(names, key=len)", "--batch 8 --framework torch", "ssh://git@github.com/x", "http://127.0.0.1:8080/a@b",
        "git+https://github.com/a/b@v1.0", "killed by SIGKILL after 'started'; last words: Bearer of bad news",
        "/home/me/key/file", "sess=1 pass=2 of 3",
        "--max-tokens 512 --passes 3", "n_pass=2 cache_key=true",
    ],
)
def test_texts_without_a_secret_stay(said: str):
    assert said == secrets.hidden(said)


def test_the_value_of_a_secret_variable_is_known_wherever_it_is_printed(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HF_TOKEN", "correct-horse-42")
    monkeypatch.setenv("PIP_PASSWORD", "mlp")        # too short to be told from other words

    assert "401 for **** of mlp" == secrets.hidden("401 for correct-horse-42 of mlp")


def test_variables_that_are_secrets_are_left_out_and_so_change_no_trial():
    environment = {
        "TF_API_KEY": "a", "TORCH_TOKEN": "b", "PYTORCH_PASSWORD": "c", "OMP_SECRET": "d",
        "XLA_URL": "https://user:pw@host/x", "OMP_PLACES": "cores", "TF_XLA_PASSES": "fusion",
        "XLA_FLAGS": "--xla_cpu_max_isa=AVX2 --xla_dump_token=abc --xla_disable_hlo_passes=fusion",
        "TF_CONFIG": '{"cluster": {}, "api_key": "abc"}', "JAX_INCLUDE_METADATA_IN_KEY": "1",
    }

    kept = hardware.variables(environment)

    assert kept == {
        "JAX_INCLUDE_METADATA_IN_KEY": "1", "OMP_PLACES": "cores", "TF_XLA_PASSES": "fusion",
        "XLA_FLAGS": "--xla_cpu_max_isa=AVX2 --xla_disable_hlo_passes=fusion",
    }
    assert kept == hardware.variables({**environment, "TF_API_KEY": "another", "XLA_URL": "https://you:pw@host/x"})


def test_of_a_record_free_texts_and_variables_are_cleaned_and_names_are_not():
    record = {
        "command": "x --token abc", "suite": "--token abc", "layers": {"variables": {"TF_KEY_ID": "a1", "OMP_A": "2"}},
        "measurement": {"timings_s": [0.1], "facts": {"blas": ["https://a:b@c"], "threads": 2}},
    }

    assert secrets.cleaned(record) == {
        "command": "x --token ****", "suite": "--token abc", "layers": {"variables": {"OMP_A": "2"}},
        "measurement": {"timings_s": [0.1], "facts": {"blas": ["https://****@c"], "threads": 2}},
    }

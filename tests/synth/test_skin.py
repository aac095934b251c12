import numpy as np

from mien.synth import skin


def test_the_bank_is_whole() -> None:
    bank = skin.load_bank()
    count = len(bank.maps)
    assert count >= 80
    assert len(bank.trust) == len(bank.tone) == len(bank.male) == count
    assert bank.male.any()
    assert not bank.male.all()
    assert bank.old.any()
    log, low, trust = (m.astype(np.float32) for m in bank.ratio(0))
    assert log.shape == low.shape == (*trust.shape, 3)
    assert low.std() < log.std()
    assert 0 <= trust.min() < trust.max() <= 1


def test_srgb_goes_both_ways() -> None:
    code = np.linspace(0, 1, 256)
    np.testing.assert_allclose(skin.to_srgb(skin.to_linear(code)), code, atol=1e-6)


def test_a_skin_has_the_tone_it_was_asked_for() -> None:
    for seed in range(4):
        tone = skin.sample_tone(np.random.default_rng(seed))
        skins = [
            skin.sample_skin(np.random.default_rng(seed), tone, True, False, False)
            for _ in range(2)
        ]
        np.testing.assert_array_equal(skins[0], skins[1])
        sure = skins[0][..., 3] > 200
        middle = np.median(skin.to_linear(skins[0][sure][:, :3] / 255.0), axis=0)
        np.testing.assert_allclose(middle, tone, rtol=0.35, atol=0.02)

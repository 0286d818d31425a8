//! Padding that hides lengths: multiples of 64 bytes up to 1024, Padmé above.

use zeroize::Zeroizing;

use crate::Secret;

/// Bytes that `plain` takes for a value of `len` bytes: `P(4 + len)`.
pub(super) fn padded_len(len: usize) -> usize {
    let l = 4 + len;
    if l <= 1024 {
        return l.next_multiple_of(64);
    }
    // Padmé (Nikitin et al., PURBs, 2019): at most 12 % overhead, O(log log L) bits of leakage.
    let exponent = l.ilog2();
    let kept_bits = exponent.ilog2() + 1;
    let mask = (1_usize << (exponent - kept_bits)) - 1;
    (l + mask) & !mask
}

/// `u32be(len) || value || zeros`, with room for the 16-byte tag so that nothing is moved later.
pub(super) fn pad(value: &Secret) -> Zeroizing<Vec<u8>> {
    let size = padded_len(value.len());
    let mut plain = Zeroizing::new(Vec::with_capacity(size + 16));
    plain.extend_from_slice(&(value.len() as u32).to_be_bytes());
    // Why exposed: this is the plaintext that is about to be encrypted.
    plain.extend_from_slice(value.expose());
    plain.resize(size, 0);
    plain
}

/// The value, if `plain` is exactly what [`pad`] makes of it.
pub(super) fn unpad(plain: &[u8]) -> Option<Secret> {
    let (prefix, rest) = plain.split_first_chunk::<4>()?;
    let len = usize::try_from(u32::from_be_bytes(*prefix)).ok()?;
    let (value, zeros) = rest.split_at_checked(len)?;
    let canonical = plain.len() == padded_len(len) && zeros.iter().all(|&byte| byte == 0);
    canonical.then(|| Secret::new(value.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// C16. Guard: `padded_len` rounds every short value up to one size.
    #[test]
    fn every_value_up_to_60_bytes_pads_to_64() {
        assert!((0..=60).all(|len| padded_len(len) == 64));
        assert_eq!(padded_len(61), 128);
    }

    #[test]
    fn padding_is_monotonic_and_wastes_little() {
        let mut last = 0;
        for len in 0..300_000 {
            let padded = padded_len(len);
            assert!(padded >= last && padded >= len + 4);
            assert!(len < 1024 || padded * 100 <= (len + 4) * 112, "{len} -> {padded}");
            last = padded;
        }
    }

    #[test]
    fn padme_gives_the_published_sizes() {
        // From the definition: L = 1025 has E = 10, S = 4, so the last 6 bits are rounded up.
        assert_eq!(padded_len(1025 - 4), 1088);
        assert_eq!(padded_len(4096 - 4), 4096);
        assert_eq!(padded_len(4097 - 4), 4352);
    }

    /// C13. Guard: `unpad` checks the length prefix, the size and every padding byte.
    #[test]
    fn whatever_pad_does_not_make_is_refused() {
        let good = pad(&Secret::new(b"value".to_vec()));
        assert!(unpad(&good).is_some());
        let broken = |change: fn(&mut Vec<u8>)| {
            let mut plain = good.to_vec();
            change(&mut plain);
            unpad(&plain).is_none()
        };
        assert!(broken(|p| p[63] = 1), "non-zero padding");
        assert!(broken(|p| p[9] = 1), "first padding byte");
        assert!(broken(|p| p[3] = 4), "shorter length leaves a non-zero byte");
        assert!(broken(|p| p[3] = 61), "length beyond the buffer");
        assert!(broken(|p| p[0] = 255), "huge length");
        assert!(broken(|p| p.extend_from_slice(&[0; 64])), "too much padding");
        assert!(broken(|p| p.truncate(3)), "no room for the length");
    }
}

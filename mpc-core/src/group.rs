//! The Ristretto group: fresh key pairs and the shared secret of two of them.

use curve25519_dalek::constants::RISTRETTO_BASEPOINT_TABLE;
use curve25519_dalek::ristretto::CompressedRistretto;
use curve25519_dalek::scalar::Scalar;
use curve25519_dalek::traits::IsIdentity;
use zeroize::Zeroize;

/// A fresh Diffie–Hellman key of one session.
pub struct EphemeralKey {
    secret: Scalar,
    public: [u8; 32],
}

impl EphemeralKey {
    /// From 64 uniform bytes.
    pub fn from_uniform(mut bytes: [u8; 64]) -> Self {
        let secret = Scalar::from_bytes_mod_order_wide(&bytes);
        bytes.zeroize();
        let public = (RISTRETTO_BASEPOINT_TABLE * &secret).compress().to_bytes();
        Self { secret, public }
    }

    /// The compressed public point.
    pub fn public(&self) -> [u8; 32] {
        self.public
    }

    /// The shared secret with the owner of `peer`. None for a non-canonical encoding or the identity.
    pub fn agree(self, peer: &[u8; 32]) -> Option<[u8; 32]> {
        let point = CompressedRistretto(*peer).decompress().filter(|p| !p.is_identity())?;
        Some((point * self.secret).compress().to_bytes())
    }
}

impl Drop for EphemeralKey {
    fn drop(&mut self) {
        self.secret.zeroize();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sides_agree() {
        let (a, b) = (EphemeralKey::from_uniform([1; 64]), EphemeralKey::from_uniform([2; 64]));
        let (pa, pb) = (a.public(), b.public());
        assert_eq!(a.agree(&pb), b.agree(&pa));
    }

    #[test]
    fn the_identity_and_non_canonical_points_are_refused() {
        assert!(EphemeralKey::from_uniform([1; 64]).agree(&[0; 32]).is_none());
        assert!(EphemeralKey::from_uniform([1; 64]).agree(&[0xff; 32]).is_none());
    }
}

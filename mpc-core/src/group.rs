//! The Ristretto group: fresh key pairs and the shared secret of two of them, and points for protocols.

use std::ops::{Add, Sub};

use curve25519_dalek::constants::RISTRETTO_BASEPOINT_TABLE;
use curve25519_dalek::ristretto::{CompressedRistretto, RistrettoPoint};
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

/// A secret exponent. It does not print and is wiped when dropped.
pub struct Exponent(Scalar);

impl Exponent {
    /// From 64 uniform bytes.
    pub fn from_uniform(bytes: &[u8; 64]) -> Self {
        Self(Scalar::from_bytes_mod_order_wide(bytes))
    }

    /// What undoes a multiplication by this exponent.
    pub fn inverse(&self) -> Self {
        Self(self.0.invert())
    }
}

impl Drop for Exponent {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// A point of the group. It does not print. All operations take the same time for every value but [`Point::decode`], whose
/// result shows whether it was one.
#[derive(Clone, Copy)]
pub struct Point(RistrettoPoint);

impl Point {
    /// The generator times `exponent`.
    pub fn generate(exponent: &Exponent) -> Self {
        Self(RISTRETTO_BASEPOINT_TABLE * &exponent.0)
    }

    /// The point that 64 uniform bytes stand for; nobody knows its logarithm.
    pub fn from_uniform(bytes: &[u8; 64]) -> Self {
        Self(RistrettoPoint::from_uniform_bytes(bytes))
    }

    /// The point of an encoding. None for a non-canonical encoding or the identity.
    pub fn decode(bytes: &[u8; 32]) -> Option<Self> {
        CompressedRistretto(*bytes).decompress().filter(|p| !p.is_identity()).map(Self)
    }

    /// This point `exponent` times.
    pub fn times(&self, exponent: &Exponent) -> Self {
        Self(self.0 * exponent.0)
    }

    /// Twice this point.
    pub fn double(&self) -> Self {
        Self(self.0 + self.0)
    }

    /// Is it the neutral element?
    pub fn is_identity(&self) -> bool {
        self.0.is_identity()
    }

    /// The encodings of twice each point: with one inversion for all, nine times as fast as one by one, which only works
    /// for doubles.
    pub fn encode_doubled(points: &[Point]) -> Vec<[u8; 32]> {
        let encoded = RistrettoPoint::double_and_compress_batch(points.iter().map(|p| &p.0));
        encoded.into_iter().map(|e| e.to_bytes()).collect()
    }
}

impl Add for Point {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }
}

impl Sub for Point {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self(self.0 - other.0)
    }
}

impl Zeroize for Point {
    fn zeroize(&mut self) {
        self.0.zeroize();
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

    #[test]
    fn the_inverse_undoes_a_multiplication() {
        let (point, exponent) = (Point::from_uniform(&[3; 64]), Exponent::from_uniform(&[4; 64]));
        assert!((point.times(&exponent).times(&exponent.inverse()) - point).is_identity());
    }

    #[test]
    fn a_batch_encodes_the_doubles() {
        let points: Vec<Point> = (1..5).map(|i| Point::from_uniform(&[i; 64])).collect();
        let encoded = Point::encode_doubled(&points);
        for (point, bytes) in points.iter().zip(&encoded) {
            assert!((Point::decode(bytes).unwrap() - point.double()).is_identity());
        }
    }
}

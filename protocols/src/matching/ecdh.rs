//! An oblivious pseudo-random function from Diffie–Hellman, for small sets: no setup, 64 bytes for each of the receiver's keys.
//!
//! F(key) = SHA-256(session, step, direction, a·H(key)) with the sender's exponent a. The receiver sends b·H(key); the sender multiplies
//! by a; the receiver takes b out again. Points are checked when they are decoded: the identity and encodings that are no
//! point's are refused.
//!
//! # Source
//! Jarecki, Kiayias, Krawczyk, Asiacrypt'14 (2HashDH); semi-honest, under one-more gap Diffie–Hellman with random oracles. Huberman,
//! Franklin, Hogg, EC'99, for matching by it.
//! # Deviations
//! - Ristretto encodings are made of doubles, of a whole batch with one inversion: both sides double alike.
//! - The outer hash takes session, step and direction instead of the key, which a point of a group of prime order determines.

use mpc_core::group::{Exponent, Point};
use mpc_core::random::{Domain, Prg};
use mpc_core::wire::Bytes32;
use mpc_core::{Block, PartyId, PeerFault, Result, Session};
use sha2::{Digest, Sha256, Sha512};
use zeroize::Zeroizing;

/// The sender's function.
pub struct Key {
    exponent: Exponent,
    binding: Sha256,
}

/// The values of `keys` under a function that `from` has, in order. Two rounds; 32 bytes for each key there and back. About 90 µs of
/// computation for a key.
///
/// # Errors
/// `Peer` with fault `NonCanonical` for a point that is none or the neutral one, and as [`Session::recv`] says.
pub async fn receive(session: &mut Session, from: PartyId, keys: &[Block]) -> Result<Vec<Block>> {
    let mut session = session.step("ecdh");
    let binding = binding(&session, from, session.me());
    let blind = exponent(&mut session.private_rng(Domain::MatchExponent)?);
    let points: Zeroizing<Vec<Point>> = Zeroizing::new(keys.iter().map(|key| point(*key).times(&blind)).collect());
    session.send(from, &Point::encode_doubled(&points))?;
    let answers: Vec<Bytes32> = session.recv(from, keys.len()).await?;
    let points = decode(&session, from, &answers)?;
    let unblind = blind.inverse();
    Ok(values(&binding, points.iter().map(|point| point.times(&unblind))))
}

/// Lets `to` evaluate a fresh function at `their_count` keys, and returns it. Two rounds; 32 bytes for each key there and back. About 40 µs
/// of computation for a key.
///
/// # Errors
/// As [`receive`].
pub async fn send(session: &mut Session, to: PartyId, their_count: usize) -> Result<Key> {
    let mut session = session.step("ecdh");
    let binding = binding(&session, session.me(), to);
    let exponent = exponent(&mut session.private_rng(Domain::MatchExponent)?);
    let requests: Vec<Bytes32> = session.recv(to, their_count).await?;
    let points = decode(&session, to, &requests)?;
    let answers: Vec<Point> = points.iter().map(|point| point.times(&exponent)).collect();
    session.send(to, &Point::encode_doubled(&answers))?;
    Ok(Key { exponent, binding })
}

impl Key {
    /// The values of `keys`, in order. About 40 µs of computation for a key.
    pub fn evaluate(&self, keys: &[Block]) -> Vec<Block> {
        // The receiver's points were doubled twice on their way.
        values(&self.binding, keys.iter().map(|key| point(*key).times(&self.exponent).double().double()))
    }
}

/// Hashes in front of the points: a value of one run is worth nothing in another.
fn binding(session: &Session, sender: PartyId, receiver: PartyId) -> Sha256 {
    Sha256::new()
        .chain_update(b"consilium matching value v1\0")
        .chain_update(session.id().0)
        .chain_update([sender.0, receiver.0])
        .chain_update(session.path().as_str().as_bytes())
        .chain_update([0])
}

fn exponent(prg: &mut Prg) -> Exponent {
    let mut bytes = Zeroizing::new([0; 64]);
    prg.fill(&mut *bytes);
    Exponent::from_uniform(&bytes)
}

/// A point whose logarithm nobody knows: never the generator times a hash, which would let anybody test guesses offline.
fn point(key: Block) -> Point {
    let bytes = key.to_le_bytes();
    let hash = Sha512::new()
        .chain_update(b"consilium matching point v1\0")
        .chain_update((bytes.len() as u64).to_le_bytes())
        .chain_update(bytes)
        .finalize();
    Point::from_uniform(&Zeroizing::new(hash.into()))
}

fn decode(session: &Session, from: PartyId, encoded: &[Bytes32]) -> Result<Vec<Point>> {
    let points = encoded.iter().map(Point::decode).collect::<Option<_>>();
    points.ok_or_else(|| session.peer(from, PeerFault::NonCanonical("point")))
}

fn values(binding: &Sha256, points: impl Iterator<Item = Point>) -> Vec<Block> {
    let points: Zeroizing<Vec<Point>> = Zeroizing::new(points.collect());
    let encoded = Zeroizing::new(Point::encode_doubled(&points));
    let value = |point: &Bytes32| {
        let digest = binding.clone().chain_update(point).finalize();
        Block::from_le_bytes(digest[..16].try_into().expect("16 of 32 bytes"))
    };
    encoded.iter().map(value).collect()
}

//! Base OT: 128 random OTs in one direction between two sites, from the Ristretto group.
//!
//! Endemic OT rather than Chou–Orlandi's simplest OT: the messages of sender and receiver do not depend on each other, so
//! both directions with all sites take one round, and the protocol is secure against a malicious party too, which a later
//! malicious extension needs. It costs the sender one more multiplication and 32 more bytes per OT, once per session.
//!
//! # Source
//! Masny, Rindal, Endemic Oblivious Transfer, CCS'19 (ePrint 2019/706), Figure 8 with Diffie–Hellman. One message of the
//! sender serves all OTs of a batch; McQuoid, Rosulek and Roy, Batching Base Oblivious Transfers, Asiacrypt'21, show that this
//! needs the OT's index in every hash, which it is.
//! # Deviations
//! Hashed points and sent points are doubles of others, so that a batch of encodings costs one inversion.

use mpc_core::block::Block;
use mpc_core::group::{Exponent, Point};
use mpc_core::random::Prg;
use mpc_core::session::SessionId;
use mpc_core::step::StepPath;
use mpc_core::wire::Bytes32;
use mpc_core::{PartyId, Session};
use sha2::{Digest, Sha256, Sha512};
use subtle::{Choice, ConditionallySelectable};
use zeroize::{Zeroize, Zeroizing};

/// OTs of a batch.
pub(super) const COUNT: usize = 128;

/// Points the receiver sends: two for each OT.
pub(super) const REQUEST_POINTS: usize = 2 * COUNT;

/// Which batch of OTs a hash belongs to.
pub(super) struct Context {
    session: SessionId,
    step: StepPath,
    sender: PartyId,
    receiver: PartyId,
}

impl Context {
    /// The batch in this direction at the session's step.
    pub(super) fn new(session: &Session, sender: PartyId, receiver: PartyId) -> Self {
        Self { session: session.id(), step: session.path().clone(), sender, receiver }
    }

    /// What every hash of this batch begins with: fixed lengths but for the step, which has its length in front.
    fn prefix(&self, label: &[u8; 16], index: usize) -> Vec<u8> {
        let step = self.step.as_str().as_bytes();
        [
            label.as_slice(),
            &self.session.0,
            &[self.sender.0, self.receiver.0],
            &(index as u32).to_le_bytes(),
            &(step.len() as u32).to_le_bytes(),
            step,
        ]
        .concat()
    }

    /// Half of the oracle's point for slot `slot` of OT `index`, given the other slot's encoding.
    fn half_oracle(&self, index: usize, slot: u8, other: &Bytes32) -> Point {
        let hash = Sha512::new()
            .chain_update(self.prefix(b"consilium ot pt\0", index))
            .chain_update([slot])
            .chain_update(other)
            .finalize();
        Point::from_uniform(&hash.into())
    }

    /// The key of a shared point.
    fn key(&self, index: usize, sender: &Bytes32, request: &[Bytes32], shared: &Bytes32) -> Block {
        let mut hash: [u8; 32] = Sha256::new()
            .chain_update(self.prefix(b"consilium ot key", index))
            .chain_update(sender)
            .chain_update(request.as_flattened())
            .chain_update(shared)
            .finalize()
            .into();
        let key = Block::from_le_bytes(hash[..16].try_into().expect("16 of 32 bytes"));
        hash.zeroize();
        key
    }
}

/// The side that learns both keys of each OT.
pub(super) struct Sender {
    secret: Exponent,
    message: Bytes32,
}

impl Sender {
    /// Draws the sender's secret.
    pub(super) fn new(prg: &mut Prg) -> Self {
        let secret = draw(prg);
        let message = Point::encode_doubled(&[Point::generate(&secret)])[0];
        Self { secret, message }
    }

    /// What the receiver needs of us.
    pub(super) fn message(&self) -> Bytes32 {
        self.message
    }

    /// Both keys of each OT. None if a point of the request is none.
    pub(super) fn keys(self, context: &Context, request: &[Bytes32]) -> Option<Zeroizing<Vec<[Block; 2]>>> {
        let mut shared = Zeroizing::new(Vec::with_capacity(request.len()));
        for (index, pair) in request.chunks_exact(2).enumerate() {
            for slot in 0..2 {
                let masked = Point::decode(&pair[slot])?;
                let point = masked + context.half_oracle(index, slot as u8, &pair[1 - slot]).double();
                // A receiver that brings this about would know the key without an exponent.
                shared.push((!point.is_identity()).then(|| point.times(&self.secret))?);
            }
        }
        let shared = Zeroizing::new(Point::encode_doubled(&shared));
        let key = |index: usize, slot: usize| {
            context.key(index, &self.message, &request[2 * index..2 * index + 2], &shared[2 * index + slot])
        };
        Some(Zeroizing::new((0..request.len() / 2).map(|index| [key(index, 0), key(index, 1)]).collect()))
    }
}

/// The side that learns one key of each OT, by choice.
pub(super) struct Receiver {
    secrets: Vec<Exponent>,
    request: Vec<Bytes32>,
}

impl Receiver {
    /// Draws the receiver's secrets; bit `i` of `choices` is the choice of OT `i`. The choices decide over data only.
    pub(super) fn new(context: &Context, choices: Block, prg: &mut Prg) -> Self {
        let secrets: Vec<Exponent> = (0..COUNT).map(|_| draw(prg)).collect();
        let others: Vec<Point> = (0..COUNT).map(|_| Point::from_uniform(&draw_64(prg))).collect();
        let others = Point::encode_doubled(&others);
        let slot = |index: usize| choices.bit(index).unwrap_u8();
        let chosen =
            |index: usize| Point::generate(&secrets[index]) - context.half_oracle(index, slot(index), &others[index]);
        let mut halves: Vec<Point> = (0..COUNT).map(chosen).collect();
        let chosen = Point::encode_doubled(&halves);
        halves.zeroize();
        let pair = |index: usize| ordered(&chosen[index], &others[index], choices.bit(index));
        let request = (0..COUNT).flat_map(pair).collect();
        Self { secrets, request }
    }

    /// What the sender needs of us: [`REQUEST_POINTS`] points.
    pub(super) fn message(&self) -> &[Bytes32] {
        &self.request
    }

    /// The chosen key of each OT. None if the sender's point is none.
    pub(super) fn keys(self, context: &Context, sender: &Bytes32) -> Option<Zeroizing<Vec<Block>>> {
        let point = Point::decode(sender)?;
        let shared: Vec<Point> = self.secrets.iter().map(|secret| point.times(secret)).collect();
        let shared = Zeroizing::new(shared);
        let shared = Zeroizing::new(Point::encode_doubled(&shared));
        let key = |index: usize| context.key(index, sender, &self.request[2 * index..2 * index + 2], &shared[index]);
        Some(Zeroizing::new((0..COUNT).map(key).collect()))
    }
}

/// The chosen encoding in the chosen slot, the other in the other.
fn ordered(chosen: &Bytes32, other: &Bytes32, choice: Choice) -> [Bytes32; 2] {
    let select = |a: &Bytes32, b: &Bytes32| std::array::from_fn(|i| u8::conditional_select(&a[i], &b[i], choice));
    [select(chosen, other), select(other, chosen)]
}

fn draw(prg: &mut Prg) -> Exponent {
    let bytes = Zeroizing::new(draw_64(prg));
    Exponent::from_uniform(&bytes)
}

fn draw_64(prg: &mut Prg) -> [u8; 64] {
    let mut bytes = [0; 64];
    prg.fill(&mut bytes);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use mpc_core::random::{Domain, PrivateSeed};

    const SEED: u8 = 11;

    fn context() -> Context {
        Context { session: SessionId([3; 32]), step: StepPath::root(), sender: PartyId(0), receiver: PartyId(1) }
    }

    fn prg(role: u8) -> Prg {
        println!("seed {SEED}");
        PrivateSeed::new([SEED + role; 32]).prg(Domain::Test, &StepPath::root())
    }

    fn choices() -> Block {
        Block(0x0123_4567_89ab_cdef_0011_2233_4455_6677)
    }

    #[test]
    fn the_receiver_learns_the_key_it_chose_and_the_keys_differ() {
        let (sender, receiver) = (Sender::new(&mut prg(0)), Receiver::new(&context(), choices(), &mut prg(1)));
        let announced = sender.message();
        let pairs = sender.keys(&context(), receiver.message()).unwrap();
        let chosen = receiver.keys(&context(), &announced).unwrap();
        for (index, (pair, key)) in pairs.iter().zip(chosen.iter()).enumerate() {
            let slot = usize::from(choices().bit(index).unwrap_u8());
            assert!(pair[slot] == *key && pair[1 - slot] != *key, "OT {index}");
        }
    }

    #[test]
    fn every_ot_has_keys_of_its_own_and_so_has_another_direction() {
        let receiver = Receiver::new(&context(), choices(), &mut prg(1));
        let other = Context { sender: PartyId(1), receiver: PartyId(0), ..context() };
        let mut keys = Vec::new();
        for context in [context(), other] {
            let sender = Sender::new(&mut prg(0));
            keys.extend(sender.keys(&context, receiver.message()).unwrap().as_flattened().iter().map(|k| k.0));
        }
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), 4 * COUNT);
    }

    #[test]
    fn the_identity_and_non_canonical_points_are_refused() {
        for bad in [[0; 32], [0xff; 32]] {
            let receiver = Receiver::new(&context(), choices(), &mut prg(1));
            let mut request = receiver.message().to_vec();
            request[77] = bad;
            assert!(Sender::new(&mut prg(0)).keys(&context(), &request).is_none());
            assert!(receiver.keys(&context(), &bad).is_none());
        }
    }

    #[test]
    fn a_request_that_cancels_the_oracle_is_refused() {
        let mut request = Receiver::new(&context(), choices(), &mut prg(1)).message().to_vec();
        let half = context().half_oracle(0, 0, &request[1]);
        request[0] = Point::encode_doubled(&[half.double() - half - half - half])[0];
        assert!(Sender::new(&mut prg(0)).keys(&context(), &request).is_none());
    }
}

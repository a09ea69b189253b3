//! One run of one plan by fixed parties, as one of them sees it.

use std::collections::{HashMap, HashSet};
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use sha2::{Digest, Sha256};

use crate::error::{Error, LocalFault, PeerFault, Result};
use crate::party::{Parties, PartyId};
use crate::random::{Domain, PairSeed, Prg, PrivateSeed};
use crate::stats::{Counters, Stats};
use crate::step::StepPath;
use crate::transport::{AbortNotice, Frame, Header, LaneId, LinkError, Transport};
use crate::wire::{self, Bytes32, MAX_FRAME_BYTES, MAX_MESSAGE_BYTES, Wire};

/// How long a step waits for a message unless the session says otherwise.
pub const DEFAULT_DEADLINE: Duration = Duration::from_secs(30);

/// Each round waits this much longer than the one before it: when a party is lost, whoever waits for it directly gives up and
/// tells the others before those who wait for the messenger give up on the messenger.
const ROUND_MARGIN: Duration = Duration::from_millis(250);

/// After so many rounds it waits no longer: by then a lost connection is noticed, and told, before anybody's patience ends.
const MARGIN_ROUNDS: u32 = 10;

/// The hash of everything the parties agreed on, nonces included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct SessionId(pub [u8; 32]);

/// The randomness of one party: its own seed and one with each other party.
#[derive(Debug)]
pub struct Seeds {
    /// Known to this party alone.
    pub private: PrivateSeed,
    /// One for each other party.
    pub pairs: HashMap<PartyId, PairSeed>,
}

/// Everything a session is made of.
pub struct Setup {
    /// This party.
    pub me: PartyId,
    /// All of them.
    pub parties: Parties,
    /// What they agreed on.
    pub id: SessionId,
    /// This party's randomness.
    pub seeds: Seeds,
    /// How frames travel.
    pub transport: Arc<dyn Transport>,
    /// How long a receive waits.
    pub deadline: Duration,
}

/// A party's view of one session, or of one fork of it.
pub struct Session {
    shared: Arc<Shared>,
    path: StepPath,
    occurrences: HashMap<StepPath, u32>,
    lane: LaneId,
    sent: HashMap<PartyId, u32>,
    received: HashMap<PartyId, u32>,
    extra: Duration,
    /// This fork's depth, then its ancestors'.
    depths: Vec<Arc<AtomicU32>>,
}

struct Shared {
    setup: Setup,
    counters: Arc<Counters>,
    used: Mutex<HashSet<(StepPath, Domain, Option<PartyId>)>>,
}

impl Session {
    /// Starts at the root step.
    pub fn new(setup: Setup) -> Self {
        Self {
            shared: Arc::new(Shared { setup, counters: Arc::default(), used: Mutex::default() }),
            path: StepPath::root(),
            occurrences: HashMap::new(),
            lane: LaneId::ROOT,
            sent: HashMap::new(),
            received: HashMap::new(),
            extra: Duration::ZERO,
            depths: vec![Arc::default()],
        }
    }

    /// This party.
    pub fn me(&self) -> PartyId {
        self.shared.setup.me
    }

    /// All parties.
    pub fn parties(&self) -> Parties {
        self.shared.setup.parties
    }

    /// Is this party one of the computing sites?
    pub fn is_site(&self) -> bool {
        self.parties().is_site(self.me())
    }

    /// The other computing sites, in order.
    pub fn other_sites(&self) -> Vec<PartyId> {
        self.parties().sites().filter(|p| *p != self.me()).collect()
    }

    /// What the parties agreed on.
    pub fn id(&self) -> SessionId {
        self.shared.setup.id
    }

    /// Where we are.
    pub fn path(&self) -> &StepPath {
        &self.path
    }

    /// What this party has sent so far, over all forks.
    pub fn stats(&self) -> Stats {
        self.shared.counters.snapshot()
    }

    /// The counts themselves, for whoever looks on while the session goes. They hold nothing secret and outlive it.
    pub fn counters(&self) -> Arc<Counters> {
        self.shared.counters.clone()
    }

    /// Enters a named step; it ends when the guard is dropped. The same label again in the same place gets a number.
    pub fn step(&mut self, label: &'static str) -> Step<'_> {
        let (parent, extra) = (self.path.clone(), self.extra);
        self.path = self.next_child(label);
        Step { session: self, parent, extra }
    }

    /// Independent continuations, each with its own lanes, to be awaited together.
    pub fn fork<const K: usize>(&mut self, labels: [&'static str; K]) -> [Session; K] {
        labels.map(|label| {
            let path = self.next_child(label);
            let mut depths = vec![Arc::new(AtomicU32::new(self.depth()))];
            depths.extend(self.depths.iter().cloned());
            Session {
                shared: self.shared.clone(),
                lane: LaneId::of(&path),
                path,
                occurrences: HashMap::new(),
                sent: HashMap::new(),
                received: HashMap::new(),
                extra: Duration::ZERO,
                depths,
            }
        })
    }

    fn next_child(&mut self, label: &'static str) -> StepPath {
        // A label is part of a path that keys randomness: two steps must never spell the same path.
        assert!(!label.is_empty() && !label.contains(['/', '#']), "a step's label has no '/' and no '#'");
        let count = self.occurrences.entry(self.path.child(label, 0)).or_insert(0);
        let child = self.path.child(label, *count);
        *count += 1;
        child
    }

    /// Queues a column to one party; never waits for it.
    ///
    /// # Errors
    /// `Link` when the connection is gone.
    pub fn send<T: Wire>(&mut self, to: PartyId, data: &[T]) -> Result<()> {
        self.send_all(&[to], data)
    }

    /// Queues the same column to several parties; it is encoded once.
    pub fn send_all<T: Wire>(&mut self, to: &[PartyId], data: &[T]) -> Result<()> {
        let bytes = Bytes::from(wire::encode(data));
        to.iter().try_for_each(|party| self.send_bytes(*party, bytes.clone()))
    }

    fn send_bytes(&mut self, to: PartyId, bytes: Bytes) -> Result<()> {
        let blocks = bytes.len().div_ceil(MAX_FRAME_BYTES).max(1);
        for block in 0..blocks {
            let from = block * MAX_FRAME_BYTES;
            let body = bytes.slice(from..bytes.len().min(from + MAX_FRAME_BYTES));
            let frame = Frame { header: self.header(to, body.len()).encode(), body };
            self.shared.counters.sent(&self.path, frame.wire_len());
            self.shared.setup.transport.send(to, self.lane, frame).map_err(|fault| self.link_error(fault))?;
        }
        Ok(())
    }

    fn header(&mut self, to: PartyId, body_len: usize) -> Header {
        let sequence = self.sent.entry(to).or_insert(0);
        let number = *sequence;
        *sequence += 1;
        Header {
            sender: self.me(),
            body_len: u32::try_from(body_len).expect("a block is at most 1 MiB"),
            session: self.session_tag(),
            step: self.path.id(),
            sequence: number,
            depth: self.depth(),
        }
    }

    /// Receives a column of exactly `len` elements.
    ///
    /// # Errors
    /// `Peer` names the sender and what was wrong with its message, or its silence; `Link` and `Stopped` as they say.
    pub async fn recv<T: Wire>(&mut self, from: PartyId, len: usize) -> Result<Vec<T>> {
        let total = len * T::BYTES;
        if total > MAX_MESSAGE_BYTES {
            return Err(self.local(LocalFault::Other(format!("a message of {total} bytes is over 1 GiB"))));
        }
        let mut out = Vec::with_capacity(len);
        self.recv_blocks(from, len, |block: &[T]| out.extend_from_slice(block)).await?;
        Ok(out)
    }

    /// Gives the network `turns` turns, so that what is queued leaves although long computing follows: on a runtime of one thread
    /// nothing is sent meanwhile. Waits for nobody.
    pub async fn let_send(&self, turns: usize) {
        for _ in 0..turns {
            tokio::task::yield_now().await;
        }
    }

    /// Receives a column of exactly `len` elements and hands it on in blocks of at most 1 MiB, so that work overlaps
    /// with the network and memory stays bounded. An empty column is one empty block.
    pub async fn recv_blocks<T: Wire>(&mut self, from: PartyId, len: usize, mut take: impl FnMut(&[T])) -> Result<()> {
        let mut left = len * T::BYTES;
        loop {
            let block = left.min(MAX_FRAME_BYTES);
            let body = self.recv_block(from, block).await?;
            take(&wire::decode(&body).ok_or_else(|| self.peer(from, PeerFault::NonCanonical(T::TYPE)))?);
            left -= block;
            if left == 0 {
                return Ok(());
            }
        }
    }

    async fn recv_block(&mut self, from: PartyId, expected: usize) -> Result<Bytes> {
        let deadline = self.shared.setup.deadline + self.extra + ROUND_MARGIN * self.depth().min(MARGIN_ROUNDS);
        let frame = match tokio::time::timeout(deadline, self.shared.setup.transport.recv(from, self.lane)).await {
            Ok(Ok(frame)) => frame,
            Ok(Err(fault)) => return Err(self.link_error(fault)),
            Err(_) => return Err(self.peer(from, PeerFault::Silent(deadline))),
        };
        let header = Header::decode(&frame.header).map_err(|why| self.peer(from, PeerFault::Malformed(why)))?;
        self.check(from, &header).map_err(|fault| self.peer(from, fault))?;
        if frame.body.len() != expected {
            return Err(self.peer(from, PeerFault::Length { sent: frame.body.len(), expected }));
        }
        self.deepen(header.depth.saturating_add(1));
        Ok(frame.body)
    }

    /// Session, sender, sequence and step, in this order, before the body is looked at.
    fn check(&mut self, from: PartyId, header: &Header) -> std::result::Result<(), PeerFault> {
        if header.session != self.session_tag() {
            return Err(PeerFault::WrongSession);
        }
        if header.sender != from {
            return Err(PeerFault::WrongSender(header.sender));
        }
        let due = self.received.entry(from).or_insert(0);
        if header.sequence != *due {
            return Err(PeerFault::WrongSequence { sent: header.sequence, expected: *due });
        }
        *due += 1;
        if header.step != self.path.id() { Err(PeerFault::WrongStep) } else { Ok(()) }
    }

    /// Sends a column to every other site and returns everybody's, in party order, after all sites have confirmed that
    /// they saw the same. Two rounds (one for two sites); 32 bytes of echo to each other site.
    ///
    /// # Errors
    /// `Peer` with fault `Echo` when two sites saw different broadcasts.
    pub async fn broadcast_checked<T: Wire>(&mut self, data: &[T]) -> Result<Vec<Vec<T>>> {
        let others = self.other_sites();
        let all = self.exchange_with(&others, data).await?;
        let id = self.id().0;
        let hash = |column: &Vec<T>| {
            Sha256::new().chain_update(b"consilium echo v1\0").chain_update(id).chain_update(wire::encode(column))
        };
        let seen: Vec<Bytes32> = all.iter().map(|column| hash(column).finalize().into()).collect();
        self.step("echo").echo(&others, &seen).await?;
        Ok(all)
    }

    /// Sends what we saw of every site to every other site and compares what they saw. One round, none for two sites.
    ///
    /// # Errors
    /// `Peer` with fault `Echo`, naming the site that reports something else and the one it reports about.
    pub async fn echo(&mut self, others: &[PartyId], seen: &[Bytes32]) -> Result<()> {
        if others.len() < 2 {
            return Ok(());
        }
        self.send_all(others, seen)?;
        for from in others {
            let theirs = self.recv(*from, seen.len()).await?;
            self.same_reports(*from, seen, &theirs, None)?;
        }
        Ok(())
    }

    /// Compares what `from` saw of every site with what we saw, or what `reference` saw.
    pub fn same_reports(
        &self,
        from: PartyId,
        seen: &[Bytes32],
        theirs: &[Bytes32],
        reference: Option<PartyId>,
    ) -> Result<()> {
        match self.parties().sites().find(|site| seen[site.index()] != theirs[site.index()]) {
            None => Ok(()),
            Some(about) => {
                let suspects = reference.into_iter().chain([about]).filter(|p| *p != self.me()).collect();
                Err(self.peer(from, PeerFault::Echo { suspects }))
            }
        }
    }

    /// Sends a column to every other site and returns everybody's, own included, in party order. One round.
    pub async fn exchange<T: Wire>(&mut self, data: &[T]) -> Result<Vec<Vec<T>>> {
        let others = self.other_sites();
        self.exchange_with(&others, data).await
    }

    async fn exchange_with<T: Wire>(&mut self, others: &[PartyId], data: &[T]) -> Result<Vec<Vec<T>>> {
        self.send_all(others, data)?;
        let mut all = Vec::with_capacity(others.len() + 1);
        for party in self.parties().sites() {
            all.push(if party == self.me() { data.to_vec() } else { self.recv(party, data.len()).await? });
        }
        Ok(all)
    }

    /// A stream that only this party knows, keyed by step and domain.
    ///
    /// # Errors
    /// `Local` when it was already asked for at this step.
    pub fn private_rng(&mut self, domain: Domain) -> Result<Prg> {
        self.use_once(domain, None)?;
        Ok(self.shared.setup.seeds.private.prg(domain, &self.path))
    }

    /// The same stream at this party and at `with`, keyed by step and domain.
    ///
    /// # Errors
    /// `Local` when it was already asked for at this step, or when no seed was agreed with that party.
    pub fn shared_rng(&mut self, with: PartyId, domain: Domain) -> Result<Prg> {
        self.use_once(domain, Some(with))?;
        let seed = self.shared.setup.seeds.pairs.get(&with);
        seed.map(|s| s.prg(domain, &self.path)).ok_or_else(|| self.local(LocalFault::Role("no seed with that party")))
    }

    fn use_once(&self, domain: Domain, with: Option<PartyId>) -> Result<()> {
        let mut used = self.shared.used.lock().expect("no code panics while it holds the set");
        if used.insert((self.path.clone(), domain, with)) {
            Ok(())
        } else {
            Err(self.local(LocalFault::RandomnessReused))
        }
    }

    /// Tells every party that the session is over because of `error`.
    pub fn abort(&self, error: &Error) {
        self.shared.setup.transport.abort(&AbortNotice::new(error.blamed().first().copied(), &error.to_string()));
    }

    /// Waits until everything sent has arrived, then closes the connections.
    pub async fn finish(&self) -> Result<()> {
        let setup = &self.shared.setup;
        setup.transport.finish(setup.deadline).await.map_err(|fault| self.link_error(fault))
    }

    /// For a step whose messages come from a party that itself waits for others: waits longer until the step ends, and not less
    /// than was asked for before.
    pub fn wait_longer(&mut self, extra: Duration) {
        self.extra = self.extra.max(extra);
    }

    /// An error that blames `party` at this step.
    pub fn peer(&self, party: PartyId, fault: PeerFault) -> Error {
        Error::Peer { party, step: self.path.clone(), fault }
    }

    /// An error of our own at this step.
    pub fn local(&self, fault: LocalFault) -> Error {
        Error::Local { step: self.path.clone(), fault }
    }

    fn link_error(&self, fault: LinkError) -> Error {
        match fault {
            LinkError::Lost { party, detail } => Error::Link { party, step: self.path.clone(), detail },
            LinkError::Malformed { party, reason } => self.peer(party, PeerFault::Malformed(reason)),
            LinkError::Aborted { by, notice } => Error::Stopped { by, blamed: notice.blamed, reason: notice.reason },
        }
    }

    fn session_tag(&self) -> [u8; 8] {
        let mut tag = [0; 8];
        tag.copy_from_slice(&self.id().0[..8]);
        tag
    }

    fn depth(&self) -> u32 {
        self.depths[0].load(Ordering::Relaxed)
    }

    fn deepen(&self, depth: u32) {
        for fork in &self.depths {
            fork.fetch_max(depth, Ordering::Relaxed);
        }
        self.shared.counters.reached(depth);
    }
}

/// A step in progress; derefs to the session and ends when dropped.
pub struct Step<'a> {
    session: &'a mut Session,
    parent: StepPath,
    extra: Duration,
}

impl Deref for Step<'_> {
    type Target = Session;

    fn deref(&self) -> &Session {
        self.session
    }
}

impl DerefMut for Step<'_> {
    fn deref_mut(&mut self) -> &mut Session {
        self.session
    }
}

impl Drop for Step<'_> {
    fn drop(&mut self) {
        self.session.path = self.parent.clone();
        self.session.extra = self.extra;
    }
}

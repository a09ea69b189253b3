//! Whose job runs next. Jobs hold what they are forecast to need while they run; accounts take turns; nothing overtakes a job that is
//! next and does not fit yet, so that a large one is not starved by small ones.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{oneshot, watch};

use crate::fault::NodeError;

/// What there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// Bytes for all jobs that run.
    pub bytes: u64,
    /// Jobs that run at a time.
    pub running: usize,
}

/// What a job takes while it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Demand {
    /// Bytes; a job that asks for more than there is is refused.
    pub bytes: u64,
    /// The study whose other jobs have to wait: sites that are ready for one release refuse when another one begins
    /// (`LEDGER_MOVED`), so that of two that are ready together one would be refused.
    pub alone_in: Option<[u8; 32]>,
}

/// Jobs that wait for their turn.
pub struct Queue {
    inner: Mutex<Inner>,
    /// Turns that are out.
    out: watch::Sender<usize>,
}

struct Inner {
    room: Room,
    free: Room,
    busy: Vec<[u8; 32]>,
    lines: BTreeMap<String, Line>,
    /// Turns that were given.
    turns: u64,
    closed: bool,
}

/// The jobs of one account.
#[derive(Default)]
struct Line {
    /// Number of the account's last turn.
    served: u64,
    waiting: VecDeque<Ticket>,
}

struct Ticket {
    demand: Demand,
    go: oneshot::Sender<Turn>,
}

/// The right to run; given back when it is dropped.
pub struct Turn {
    queue: Arc<Queue>,
    bytes: u64,
    /// The study that it holds, until it does no longer.
    alone_in: Mutex<Option<[u8; 32]>>,
}

impl Turn {
    /// Its release has begun at every site: the next job of the study may be proposed.
    pub fn share_study(&self) {
        let study = self.alone_in.lock().unwrap_or_else(PoisonError::into_inner).take();
        self.queue.lock().share(study);
        self.queue.serve();
    }
}

impl Queue {
    /// An empty one.
    pub fn new(room: Room) -> Arc<Self> {
        let (lines, busy) = (BTreeMap::new(), Vec::new());
        let inner = Inner { room, free: room, busy, lines, turns: 0, closed: false };
        Arc::new(Self { inner: Mutex::new(inner), out: watch::Sender::new(0) })
    }

    /// Is there room for such a job, once no other runs?
    ///
    /// # Errors
    /// `JOB_TOO_LARGE`.
    pub fn fits(&self, bytes: u64) -> Result<(), NodeError> {
        let (room, mib) = (self.lock().room.bytes, |bytes: u64| bytes.div_ceil(1 << 20));
        if bytes <= room {
            return Ok(());
        }
        let message = format!("it is forecast to need {} MiB, and this node gives jobs {} MiB", mib(bytes), mib(room));
        Err(NodeError::new("JOB_TOO_LARGE", message).hint("a larger [jobs] memory_mb, or a smaller question"))
    }

    /// Waits for a turn, behind the account's own jobs that came before. Whoever stops waiting leaves the line. A turn that was not
    /// taken before the queue closed is none.
    ///
    /// # Errors
    /// `JOB_TOO_LARGE` at once: also for a job that was taken when the node gave more.
    pub async fn turn(self: &Arc<Self>, account: &str, demand: Demand) -> Result<Turn, NodeError> {
        self.fits(demand.bytes)?;
        let (go, coming) = oneshot::channel();
        {
            let mut inner = self.lock();
            inner.lines.entry(account.to_owned()).or_default().waiting.push_back(Ticket { demand, go });
        }
        self.serve();
        match coming.await {
            Ok(turn) if !self.lock().closed => Ok(turn),
            Ok(late) => {
                drop(late);
                std::future::pending().await
            }
            // The sender goes with the queue, which this holds.
            Err(_) => std::future::pending().await,
        }
    }

    /// From now on nobody gets a turn.
    pub fn close(&self) {
        self.lock().closed = true;
    }

    /// Waits until every turn was given back.
    pub async fn all_back(&self) {
        // The sender lives as long as this does.
        let _ = self.out.subscribe().wait_for(|out| *out == 0).await;
    }

    /// Gives turns to all that can have one.
    fn serve(self: &Arc<Self>) {
        loop {
            let ticket = self.lock().next();
            let Some(Ticket { demand, go }) = ticket else { return };
            // Somebody who left meanwhile drops the turn, which gives it back.
            let Demand { bytes, alone_in } = demand;
            self.out.send_modify(|out| *out += 1);
            let unclaimed = go.send(Turn { queue: self.clone(), bytes, alone_in: Mutex::new(alone_in) });
            drop(unclaimed);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// The ticket whose turn it is, which takes what it needs. Accounts that waited longest for a turn come first.
    fn next(&mut self) -> Option<Ticket> {
        if self.closed || self.free.running == 0 {
            return None;
        }
        self.lines.values_mut().for_each(|line| line.waiting.retain(|ticket| !ticket.go.is_closed()));
        let mut order: Vec<(u64, String)> = self.lines.iter().map(|(name, line)| (line.served, name.clone())).collect();
        order.sort();
        for (_, name) in order {
            let Some(line) = self.lines.get_mut(&name) else { continue };
            let Some(Demand { bytes, alone_in }) = line.waiting.front().map(|ticket| ticket.demand) else { continue };
            // Who waits for a study keeps its place: it comes first when the study is free.
            if alone_in.is_some_and(|study| self.busy.contains(&study)) {
                continue;
            }
            if bytes > self.free.bytes {
                return None;
            }
            self.turns += 1;
            line.served = self.turns;
            self.free = Room { bytes: self.free.bytes - bytes, running: self.free.running - 1 };
            self.busy.extend(alone_in);
            return line.waiting.pop_front();
        }
        None
    }

    fn share(&mut self, study: Option<[u8; 32]>) {
        if let Some(at) = study.and_then(|study| self.busy.iter().position(|busy| *busy == study)) {
            self.busy.swap_remove(at);
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        {
            let mut inner = self.queue.lock();
            inner.free = Room { bytes: inner.free.bytes + self.bytes, running: inner.free.running + 1 };
        }
        self.share_study();
        self.queue.out.send_modify(|out| *out -= 1);
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::Pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    type Waiting = Pin<Box<dyn Future<Output = Turn>>>;

    fn ask(queue: &Arc<Queue>, account: &'static str, bytes: u64, alone_in: Option<[u8; 32]>) -> Waiting {
        let queue = queue.clone();
        let mut waiting: Waiting =
            Box::pin(async move { queue.turn(account, Demand { bytes, alone_in }).await.unwrap() });
        // In line from now on; a turn that is there already stays for the next look.
        assert!(poll(&mut waiting).is_none(), "the queue is full");
        waiting
    }

    fn poll(waiting: &mut Waiting) -> Option<Turn> {
        match waiting.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(turn) => Some(turn),
            Poll::Pending => None,
        }
    }

    fn now(queue: &Arc<Queue>, account: &'static str, bytes: u64) -> Turn {
        let queue = queue.clone();
        let mut waiting: Waiting =
            Box::pin(async move { queue.turn(account, Demand { bytes, alone_in: None }).await.unwrap() });
        poll(&mut waiting).expect("there is room")
    }

    /// Gives the running turn back again and again; who runs, in order.
    fn order(mut running: Turn, mut waiting: Vec<(&'static str, Waiting)>) -> Vec<&'static str> {
        let mut served = Vec::new();
        while !waiting.is_empty() {
            drop(running);
            let next = waiting.iter_mut().enumerate().find_map(|(at, (_, job))| poll(job).map(|turn| (at, turn)));
            let (at, turn) = next.expect("somebody is next");
            served.push(waiting.remove(at).0);
            running = turn;
        }
        served
    }

    #[test]
    fn accounts_take_turns_however_many_jobs_one_has() {
        let queue = Queue::new(Room { bytes: 10, running: 1 });
        let running = now(&queue, "a", 1);
        let mut waiting: Vec<_> = (0..4).map(|_| ("a", ask(&queue, "a", 1, None))).collect();
        waiting.push(("b", ask(&queue, "b", 1, None)));
        waiting.push(("c", ask(&queue, "c", 1, None)));
        waiting.push(("b", ask(&queue, "b", 1, None)));
        assert_eq!(order(running, waiting), ["b", "c", "a", "b", "a", "a", "a"]);
    }

    #[test]
    fn a_large_job_is_not_overtaken_by_small_ones_that_would_fit() {
        let queue = Queue::new(Room { bytes: 10, running: 5 });
        let (first, second) = (now(&queue, "a", 6), now(&queue, "a", 2));
        let mut large = ask(&queue, "b", 10, None);
        let mut small = ask(&queue, "c", 1, None);
        drop(second);
        assert!(
            poll(&mut large).is_none() && poll(&mut small).is_none(),
            "eight of ten are not enough for the large one"
        );
        drop(first);
        let large = poll(&mut large).expect("it runs alone");
        assert!(poll(&mut small).is_none());
        drop(large);
        assert!(poll(&mut small).is_some());
    }

    #[test]
    fn a_job_that_is_forecast_to_need_more_than_there_is_gets_no_turn_however_free_the_node_is() {
        let queue = Queue::new(Room { bytes: 10 << 20, running: 1 });
        queue.fits(10 << 20).unwrap();
        assert_eq!(queue.fits((10 << 20) + 1).unwrap_err().code, "JOB_TOO_LARGE");
        let mut waiting =
            Box::pin(async { queue.turn("a", Demand { bytes: 11 << 20, alone_in: None }).await.map(drop) });
        let Poll::Ready(Err(refused)) = waiting.as_mut().poll(&mut Context::from_waker(Waker::noop())) else {
            panic!("it waits, or has a turn");
        };
        assert!(refused.message.contains("11 MiB, and this node gives jobs 10 MiB"), "{refused}");
        drop(waiting);
        now(&queue, "b", 10 << 20);
    }

    #[test]
    fn jobs_of_one_study_run_one_after_the_other_and_others_beside_them() {
        let queue = Queue::new(Room { bytes: 10, running: 2 });
        let hold = [now(&queue, "x", 1), now(&queue, "x", 1)];
        let mut jobs = ["a", "b"].map(|account| ask(&queue, account, 1, Some([7; 32])));
        let mut other = ask(&queue, "c", 1, None);
        drop(hold);
        let first = poll(&mut jobs[0]).expect("the study is free");
        assert!(poll(&mut jobs[1]).is_none(), "the study is busy");
        let other = poll(&mut other).expect("it is of no study");
        drop(other);
        assert!(poll(&mut jobs[1]).is_none(), "the study is busy");
        let mut third = ask(&queue, "c", 1, Some([7; 32]));
        drop(first);
        let second = poll(&mut jobs[1]).expect("the study is free again");
        assert!(poll(&mut third).is_none(), "there is room, and the study is busy");
        // One that has begun lets the next in, and gives nothing back twice.
        second.share_study();
        let third = poll(&mut third).expect("the second has begun");
        drop(second);
        assert_eq!(queue.lock().busy, [[7; 32]]);
        drop(third);
        assert!(queue.lock().busy.is_empty());
    }

    #[test]
    fn whoever_leaves_the_line_takes_nothing_with_it() {
        let queue = Queue::new(Room { bytes: 2, running: 2 });
        let [first, second] = [now(&queue, "a", 1), now(&queue, "a", 1)];
        drop(ask(&queue, "b", 2, Some([1; 32])));
        let mut small = ask(&queue, "c", 1, None);
        drop(first);
        let small = poll(&mut small).expect("the large one that left holds nobody up");
        // One that left after its turn was given gives it back too.
        let left = ask(&queue, "d", 2, Some([1; 32]));
        drop((small, second));
        drop(left);
        assert_eq!(queue.lock().free, Room { bytes: 2, running: 2 });
        assert!(queue.lock().busy.is_empty());
    }

    #[test]
    fn a_closed_queue_gives_no_turns() {
        let queue = Queue::new(Room { bytes: 2, running: 1 });
        let hold = now(&queue, "a", 1);
        let mut waiting = ask(&queue, "b", 1, None);
        queue.close();
        drop(hold);
        assert!(poll(&mut waiting).is_none());
    }

    #[test]
    fn a_turn_that_nobody_took_before_the_queue_closed_is_given_back_and_one_that_is_out_is_waited_for() {
        let queue = Queue::new(Room { bytes: 2, running: 2 });
        let taken = now(&queue, "a", 1);
        let first = now(&queue, "a", 1);
        let mut late = ask(&queue, "b", 1, None);
        drop(first);
        queue.close();
        assert!(poll(&mut late).is_none(), "it has its turn after the end");
        let mut context = Context::from_waker(Waker::noop());
        let mut back = Box::pin(queue.all_back());
        assert!(back.as_mut().poll(&mut context).is_pending(), "one is out");
        drop(taken);
        assert!(back.as_mut().poll(&mut context).is_ready(), "the late one was given back");
        assert_eq!(queue.lock().free, Room { bytes: 2, running: 2 });
    }
}

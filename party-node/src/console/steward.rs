//! What stewards ask and order at the console. Orders are those of the command line, done by the same function.

use bytes::Bytes;
use futures::stream;
use http_body_util::{BodyExt, StreamBody};
use hyper::Response;
use hyper::body::Frame;
use hyper::header::{CONTENT_DISPOSITION, CONTENT_TYPE, HeaderValue};
use query_planner::{Language, grants};
use serde::{Deserialize, Serialize};

use super::refused::Refused;
use super::view::Study;
use super::view::log::{LogLine, Trail};
use super::view::plan::{About, Plan};
use super::view::steward::{Decided, DryRun, Gauge, Gauges, PolicyView, Release, Review, Spent, Verified, Waiting};
use super::{Console, LISTED, Part, Visit};
use crate::fault::NodeError;
use crate::govern::steward::{Desk, Order, Question, Reply, look};
use crate::http;
use crate::network::Network;
use crate::source::BoundData;
use crate::state::{hex, inbox, now_ms};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Approve {
    days: i64,
    note: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Reject {
    reason: String,
    note: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Withdraw {
    note: String,
}

#[derive(Serialize)]
pub(super) struct Approved {
    until_ms: i64,
}

#[derive(Serialize)]
pub(super) struct Withdrawn {
    begun: bool,
}

impl Console {
    pub(super) async fn inbox(&self, visit: &Visit) -> Result<Part<Waiting>, Refused> {
        match self.site.order(Order::Inbox { plan: None, from: visit.from }).await? {
            Reply::Inbox { plans, next } => Ok(Part { items: plans.into_iter().map(Waiting::from).collect(), next }),
            _ => Err(unexpected()),
        }
    }

    pub(super) async fn review(&self, visit: &Visit, plan: &str) -> Result<Review, Refused> {
        let (plan, network, language) = (digest(plan)?, self.site.network().clone(), visit.language);
        let look = move |desk: &Desk<'_>| {
            let waiting = desk.gate.state.waits(&plan)?.ok_or_else(no_plan)?;
            review(desk, waiting, &network, language)
        };
        Ok(self.site.look(look).await?)
    }

    pub(super) async fn dry_run(&self, plan: &str) -> Result<DryRun, Refused> {
        let busy = |_| Refused::new("BUSY", "the node does a dry run already");
        let _turn = self.counting.try_acquire().map_err(busy)?;
        let name = hex::text(&digest(plan)?);
        match self.site.order(Order::DryRun(Question::Waiting(name))).await? {
            Reply::DryRun(ran) => Ok(ran.into()),
            _ => Err(unexpected()),
        }
    }

    pub(super) async fn approve(&self, visit: &Visit, plan: &str, by: Approve) -> Result<Approved, Refused> {
        let plan = digest(plan)?;
        let policy = &self.site.home().gate.policy.policy;
        if policy.two_persons || !policy.stewards.is_empty() {
            let message = "the site's policy lists stewards, and one of them approves by their own key";
            let hint = "consilium approve with --steward-key: a page has no key, and should not be given one";
            return Err(NodeError::new("STEWARD_KEY_NEEDED", message).hint(hint).into());
        }
        let (days, note) = (u32::try_from(by.days).unwrap_or(0), signed(visit, &by.note));
        match self.site.order(Order::Approve { plan, days, note, proof: None }).await? {
            Reply::Approved { until_ms, .. } => Ok(Approved { until_ms }),
            _ => Err(unexpected()),
        }
    }

    pub(super) async fn reject(&self, visit: &Visit, plan: &str, by: Reject) -> Result<(), Refused> {
        let (plan, note) = (hex::text(&digest(plan)?), signed(visit, &by.note));
        match self.site.order(Order::Reject { plan, reason: by.reason, note }).await? {
            Reply::Rejected { .. } => Ok(()),
            _ => Err(unexpected()),
        }
    }

    pub(super) async fn withdraw(&self, visit: &Visit, plan: &str, by: Withdraw) -> Result<Withdrawn, Refused> {
        let (plan, note) = (hex::text(&digest(plan)?), signed(visit, &by.note));
        match self.site.order(Order::Withdraw { plan, note }).await? {
            Reply::Withdrawn { begun, .. } => Ok(Withdrawn { begun }),
            _ => Err(unexpected()),
        }
    }

    pub(super) async fn decided(&self, visit: &Visit) -> Result<Part<Decided>, Refused> {
        let from = visit.from;
        let look = move |desk: &Desk<'_>| Ok(Part::of(desk.gate.state.decided()?, from, Decided::of));
        Ok(self.site.look(look).await?)
    }

    pub(super) async fn releases(&self, visit: &Visit) -> Result<Part<Release>, Refused> {
        let (from, study) = (visit.from, visit.study.clone());
        let look = move |desk: &Desk<'_>| {
            let study = study.map(|name| look::digest_of(desk, &name)).transpose()?;
            let mut all = desk.gate.state.releases(study.as_ref())?;
            all.reverse();
            Ok(Part::of(all, from, |release| Release::from(look::line(desk, &release))))
        };
        Ok(self.site.look(look).await?)
    }

    pub(super) async fn trail(&self, id: &str) -> Result<Trail, Refused> {
        let none = || NodeError::new("NO_SUCH_RELEASE", "there is no release of this id");
        let id: [u8; 16] = hex::parse(id).ok_or_else(none)?;
        let look = move |desk: &Desk<'_>| {
            let found = desk.gate.state.releases(None)?.into_iter().find(|release| release.id == id);
            let release = found.ok_or_else(none)?;
            let entries = desk.gate.state.trail(&hex::text(&id))?;
            Trail::of(look::line(desk, &release).into(), &release.plan, release.sites.clone(), &entries)
        };
        Ok(self.site.look(look).await?)
    }

    pub(super) async fn policy(&self) -> Result<PolicyView, Refused> {
        let look = |desk: &Desk<'_>| {
            let (gate, policy) = (desk.gate, &desk.gate.policy.policy);
            let known = grants::check_current(desk.catalog, &gate.name, policy).is_ok();
            let published = known && gate.policy.unchanged().is_ok();
            Ok(PolicyView { digest: hex::text(&policy.digest()), published, policy: policy.clone() })
        };
        Ok(self.site.look(look).await?)
    }

    pub(super) async fn gauges(&self) -> Result<Gauges, Refused> {
        Ok(self.site.look(gauges).await?)
    }

    pub(super) async fn log(&self, visit: &Visit) -> Result<Part<LogLine>, Refused> {
        let from = visit.from;
        let look = move |desk: &Desk<'_>| {
            let (lines, all) = desk.gate.state.newest(from, LISTED as u64)?;
            let after = from.saturating_add(lines.len() as u64);
            let items = lines.iter().map(LogLine::of).collect::<Result<_, _>>()?;
            Ok(Part { items, next: (after < all).then_some(after) })
        };
        Ok(self.site.look(look).await?)
    }

    pub(super) async fn verify(&self) -> Result<Verified, Refused> {
        match self.site.order(Order::Verify { pins: Vec::new() }).await? {
            Reply::Verified { lines, hash, times_ms, keys } => {
                let keys = keys.iter().map(ToString::to_string).collect();
                Ok(Verified { lines, hash: hex::text(&hash), times_ms, keys })
            }
            _ => Err(unexpected()),
        }
    }

    /// The log as an attachment, part by part; one that breaks off has no seal, and no proper end.
    pub(super) async fn export(&self) -> Result<http::Reply, Refused> {
        let site = self.site.clone();
        let part = move |from: u64| {
            let site = site.clone();
            async move {
                match site.order(Order::Export { from }).await? {
                    Reply::Export { bytes, next } => Ok((Bytes::from(bytes), next)),
                    _ => Err(NodeError::new("INTERNAL", "the node answered something else")),
                }
            }
        };
        // What fails at once is a refusal.
        let (first, next) = part(0).await?;
        let rest = stream::unfold(next, move |next| {
            let part = next.map(&part);
            async move {
                match part?.await {
                    Ok((bytes, next)) => Some((Ok(bytes), next)),
                    Err(error) => Some((Err(error), None)),
                }
            }
        });
        let all = futures::StreamExt::chain(stream::iter([Ok(first)]), rest);
        let frames = futures::StreamExt::map(all, |part| part.map(Frame::data));
        let mut reply = Response::new(StreamBody::new(frames).boxed_unsync());
        reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
        // A site's name has letters, digits, '_' and '-' only.
        let name = format!("attachment; filename=\"{}.log.jsonl\"", self.site.home().name.0);
        let name = HeaderValue::from_str(&name).map_err(|e| NodeError::new("INTERNAL", e.to_string()))?;
        reply.headers_mut().insert(CONTENT_DISPOSITION, name);
        Ok(reply)
    }
}

fn review(
    desk: &Desk<'_>,
    waiting: inbox::Waiting,
    network: &Network,
    language: Language,
) -> Result<Review, NodeError> {
    let (gate, compiled) = (desk.gate, look::planned(desk, &waiting)?);
    let policy = &gate.policy.policy;
    let allowed = gate.policy.unchanged().and_then(|()| {
        grants::check(&compiled.joint, &gate.name, policy, Some(&waiting.analyst)).map_err(NodeError::from)
    });
    let (study, analyst) = (&waiting.study_name, &waiting.analyst);
    let about = About { catalog: desk.catalog, network, study, analyst, language };
    let before = gate.state.outlines(&waiting.study)?;
    Ok(Review {
        plan: Plan::of(&compiled, &about),
        study: Study::of(gate.study(&waiting.study)?),
        since_ms: waiting.since_ms,
        consents: waiting.consents.iter().map(|consent| consent.by.clone()).collect(),
        needs: if policy.two_persons { 2 } else { 1 },
        own_keys: policy.two_persons || !policy.stewards.is_empty(),
        refusal: allowed.err().map(Refused::from),
        releases_before: before.iter().filter(|release| release.progress.counts()).count(),
        sql: waiting.query,
        analyst_pin: waiting.analyst_pin,
    })
}

fn gauges(desk: &Desk<'_>) -> Result<Gauges, NodeError> {
    let (gate, now) = (desk.gate, now_ms());
    let gauge = |limit: crate::state::limits::Limit, refusals| {
        Ok::<_, NodeError>(Gauge::of(limit, gate.state.charged(refusals, limit, now)?))
    };
    let releases = gate.policy.policy.releases.map(Into::into);
    let refusals = Some(gate.policy.refusals()).filter(|limit| limit.most < u32::MAX);
    Ok(Gauges {
        releases: releases.map(|limit| gauge(limit, false)).transpose()?,
        refusals: refusals.map(|limit| gauge(limit, true)).transpose()?,
        privacy: look::budgets(desk, None)?.into_iter().map(Spent::from).collect(),
        opted_out: desk.data.and_then(BoundData::left_out),
    })
}

/// Who decides, for the log: the account, whatever name the page gives besides.
fn signed(visit: &Visit, note: &str) -> String {
    let (name, note) = (visit.name(), note.trim());
    if note.is_empty() || note == name { note.to_owned() } else { format!("{note} ({name})") }
}

/// A plan is named by its whole digest here.
fn digest(text: &str) -> Result<[u8; 32], NodeError> {
    hex::parse(text).ok_or_else(no_plan)
}

fn no_plan() -> NodeError {
    NodeError::new("NO_SUCH_PLAN", "this plan no longer waits for a decision")
}

fn unexpected() -> Refused {
    Refused::new("INTERNAL", "the node answered something else")
}

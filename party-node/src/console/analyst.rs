//! What analysts ask of the console.

use std::sync::Arc;

use query_planner::{Audience, Options};
use serde::Deserialize;

use super::place::placed;
use super::refused::Refused;
use super::view::job::{Answer, Job};
use super::view::plan::{self, About, Plan};
use super::{Console, Part, Visit, blocking};
use crate::execute;
use crate::fault::{NodeError, printable};
use crate::jobs::control;
use crate::jobs::job::{self, Id, State};
use crate::noise::Wanted;
use crate::plans::planned_anyway;
use crate::state::{hex, now_ms};

/// A question that is to be planned.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PlanRequest {
    sql: String,
    study: String,
    audience: Audience,
    now_ms: Option<i64>,
    noise: Option<Wanted>,
}

/// A question that is to be asked.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Submission {
    sql: String,
    study: String,
    audience: Audience,
    now_ms: Option<i64>,
    noise: Option<Wanted>,
    plan: String,
}

impl Console {
    /// The plan of a question. Nobody is asked, nothing is logged or charged. Who gives up before it is their turn costs nothing.
    pub(super) async fn plan(&self, visit: &Visit, asked: PlanRequest) -> Result<Plan, Refused> {
        let (home, sql) = (self.site.home(), asked.sql.clone());
        let own = home.gate.studies.iter().find(|study| study.name == asked.study);
        if !own.is_some_and(|study| study.analysts.iter().any(|name| name == visit.name())) {
            let message = format!("this account may not ask in a study {} of this node", printable(&asked.study));
            return Err(NodeError::new("NO_SUCH_STUDY", message).into());
        }
        let noise = asked.noise.as_ref().map(Wanted::asked).transpose()?;
        let turn = self.planning.clone().acquire_owned().await;
        let (analyst, language) = (visit.name().to_owned(), visit.language);
        let work = move || {
            let _turn = turn;
            let now_ms = asked.now_ms.unwrap_or(now_ms() as i64);
            let options = Options { now_ms, audience: asked.audience, noise };
            let (compiled, _) = planned_anyway(&asked.sql, &home.catalog, &options)?;
            execute::fits_a_ledger(&compiled)?;
            let (catalog, network) = (&home.catalog, &home.network);
            let about = About { catalog, network, study: &asked.study, analyst: &analyst, language };
            Ok(Plan::of(&compiled, &about))
        };
        blocking(work).await.map_err(|error| placed(error, &sql))
    }

    pub(super) async fn submit(&self, visit: &Visit, asked: Submission) -> Result<Job, Refused> {
        let Submission { sql, study, audience, now_ms, noise, plan } = asked;
        let plan = Some(digest(&plan)?);
        let noise = noise.as_ref().map(Wanted::asked).transpose()?;
        let submission = control::Submission { sql: sql.clone(), study: Some(study), audience, noise, now_ms, plan };
        let job = self.jobs()?.submit(visit.name(), submission).await;
        job.map(Job::from).map_err(|error| placed(error, &sql))
    }

    pub(super) async fn list(&self, visit: &Visit) -> Result<Part<Job>, Refused> {
        let (items, next) = self.jobs()?.list(visit.name(), visit.from).await?;
        Ok(Part { items: items.into_iter().map(Job::from).collect(), next })
    }

    pub(super) async fn job(&self, visit: &Visit, id: &str) -> Result<Job, Refused> {
        Ok(self.own(visit, id).await?.into())
    }

    pub(super) async fn cancel(&self, visit: &Visit, id: &str) -> Result<Job, Refused> {
        let job = self.own(visit, id).await?;
        Ok(self.jobs()?.cancel(visit.name(), &hex::text(&job.id)).await?.into())
    }

    pub(super) async fn answer_of(&self, visit: &Visit, id: &str) -> Result<Answer, Refused> {
        let (jobs, job) = (self.jobs()?, self.own(visit, id).await?);
        if job.state != State::Done {
            return Err(Refused::new("NO_ANSWER", "the job has no answer, or not yet"));
        }
        let gone = |error: NodeError| match &*error.code {
            "NO_SUCH_ANSWER" => Refused::new("ANSWER_GONE", "the answer is kept no longer"),
            _ => error.into(),
        };
        let page = jobs.page(visit.name(), &hex::text(&job.id), visit.from).await.map_err(gone)?;
        let disclosures = if visit.from == 0 { jobs.disclosures(&job).await.map_err(gone)? } else { Vec::new() };
        let sites = &self.site.home().catalog.sites;
        Ok(Answer::of(page, plan::disclosures(&disclosures, sites, visit.language)))
    }

    /// A job of this analyst, by its whole id.
    async fn own(&self, visit: &Visit, id: &str) -> Result<job::Job, Refused> {
        let none = || Refused::new("NO_SUCH_JOB", "this account has no such job");
        let id: Id = hex::parse(id).ok_or_else(none)?;
        let jobs: &Arc<_> = self.jobs()?;
        jobs.now(visit.name(), id).await?.ok_or_else(none)
    }
}

fn digest(text: &str) -> Result<[u8; 32], Refused> {
    hex::parse(text).ok_or_else(|| Refused::new("BAD_REQUEST", "a digest has 64 hexadecimal digits"))
}

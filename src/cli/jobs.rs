//! `paylink jobs`: what nobody tries any more, for a person to see and send on.

use serde_json::json;

use super::out::{note, say};
use super::{Failure, JobsCommand, environment, log, rooms};
use crate::clock::Clock;
use crate::config::{Base, Needs};
use crate::store::{Holding, Store};
use crate::view::Instant;

pub(super) async fn jobs(command: Option<JobsCommand>, as_json: bool) -> Result<(), Failure> {
    let base = Base::from_env(&environment, Needs::Database)?;
    log::begin(&base.log);
    rooms::is_there(&base)?;
    let store = rooms::open_store(&base, None, Holding::Beside, Clock::system()).await?;
    match command {
        None => list(&store, as_json).await,
        Some(JobsCommand::Retry { id: Some(id), .. }) => {
            if retry(&store, &id).await? {
                say!("{id} is tried again")
            } else {
                Err(Failure::Failed(format!(
                    "there is no parked job {id}; see: paylink jobs"
                )))
            }
        }
        Some(JobsCommand::Retry { id: None, .. }) => {
            let mut sent = 0;
            for job in parked(&store).await? {
                if retry(&store, &job.id).await? {
                    say!("{} is tried again", job.id)?;
                    sent += 1;
                }
            }
            if sent == 0 {
                note!("no job is parked");
            }
            Ok(())
        }
    }
}

async fn parked(store: &Store) -> Result<Vec<crate::store::Parked>, Failure> {
    // the method alone is not general over a transaction's lifetime
    #[allow(clippy::redundant_closure_for_method_calls)]
    store
        .read(|tx| tx.parked_jobs())
        .await
        .map_err(|error| Failure::failed("the jobs could not be read", &error))
}

async fn retry(store: &Store, id: &str) -> Result<bool, Failure> {
    let (id, now) = (id.to_owned(), Clock::system().now());
    store
        .write(move |tx| tx.unpark(&id, now))
        .await
        .map_err(|error| Failure::failed("the job could not be sent on", &error))
}

async fn list(store: &Store, as_json: bool) -> Result<(), Failure> {
    let jobs = parked(store).await?;
    for job in &jobs {
        if as_json {
            say!(
                "{}",
                json!({"id": job.id, "kind": job.job.kind.as_str(), "subject": job.job.subject, "link": job.job.link.to_string(), "panics": job.tries, "due_at": Instant(job.job.due_at)})
            )?;
        } else {
            say!("{}  {}  {} panics", job.id, job.job.link, job.tries)?;
        }
    }
    if jobs.is_empty() && !as_json {
        note!("no job is parked");
    }
    Ok(())
}

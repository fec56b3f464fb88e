//! The verbs: first this, then that. Every verb has one shape (failure-model R1): what is wanted
//! is committed, then the world is touched, then what happened is committed. A verb knows neither
//! SQL nor JSON names nor HTTP status codes, and calls no other verb, except that *renew* and a
//! *create* that replaces close the old link first.

mod alert;
mod book;
mod create;
mod deliver;
mod disable;
mod expire;
mod gates;
mod hint;
mod idempotency;
mod limits;
mod observe;
mod open;
mod operate;
mod parked;
mod pen;
mod reads;
mod reconcile;
mod recover;
mod refusal;
mod remind;
mod renew;
mod send;
mod settle;
#[cfg(test)]
mod tests;
mod watch;

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::access::Caller;
use crate::channel::mail::Mailer;
use crate::channel::sms::SmsGateway;
use crate::chaos::{self, Bug};
use crate::clock::Clock;
use crate::klarna::Klarna;
use crate::link::{Defaults, Link, LinkId, Mode};
use crate::random::Random;
use crate::secret::Vault;
use crate::store::{Claim, JobKind, Lease, Store};
use crate::templates::Templates;

pub use create::{Created, create};
pub use disable::{Disabled, disable};
pub use gates::Gates;
pub use hint::{Hint, Named, Verdict, hint, returning, validate};
pub use idempotency::{Answer, Key};
pub use limits::Limits;
pub use observe::refresh;
pub use operate::{Operated, operate};
pub use parked::parked;
pub use reads::Reads;
pub use reconcile::{Drift, Reconciled, reconcile};
pub use recover::recover;
pub use refusal::Refusal;
pub use renew::renew;
pub use send::{Queued, send};

/// What every verb needs: the rooms that only `flow` introduces to one another. Cheap to clone.
#[derive(Clone)]
pub struct House(Arc<Parts>);

/// The parts of a [`House`].
pub struct Parts {
    /// The ledger.
    pub store: Store,
    /// The client of Klarna.
    pub klarna: Klarna,
    /// Words.
    pub templates: Templates,
    /// Mail, where SMTP is configured.
    pub mailer: Option<Mailer>,
    /// SMS, where a gateway is configured.
    pub sms: Option<Arc<dyn SmsGateway>>,
    /// Time.
    pub clock: Clock,
    /// Chance.
    pub random: Random,
    /// Keys.
    pub vault: Vault,
    /// Choices of the operator.
    pub settings: Settings,
    /// The runtime on which work that outlives its request runs: an actix worker drops what is
    /// spawned on its own when it stops (failure-model R2).
    pub runtime: tokio::runtime::Handle,
    /// When which link was last read, and what that taught.
    pub reads: Reads,
    /// What is under way on `runtime`, so that a shutdown can wait for it.
    pub tasks: TaskTracker,
    /// Cancelled when no effect may begin any more: the process ends soon.
    pub closing: CancellationToken,
    /// How this process signs the jobs that it claims.
    pub lease: Lease,
}

/// Choices of the operator that verbs ask for.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Live or test.
    pub mode: Mode,
    /// What a request may leave unsaid, and which channels there are.
    pub defaults: Defaults,
    /// Sender of SMS.
    pub sms_from: String,
    /// Domain of Message-IDs.
    pub mail_domain: String,
    /// What a mail of unknown outcome becomes.
    pub mail_unknown: MailUnknown,
    /// Spend and abuse.
    pub limits: Limits,
    /// How long a caller waits for Klarna before the answer is "accepted" (4 s by contract).
    pub patience: Duration,
    /// Where alerts go by mail.
    pub operator: Option<crate::link::Email>,
}

/// `MAIL_UNKNOWN`: what follows when nobody can tell whether a mail left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MailUnknown {
    /// It stays `unknown` and a person decides.
    Ask,
    /// It is sent once more with the same Message-ID.
    ResendOnce,
}

impl House {
    /// Puts the rooms together.
    pub fn new(parts: Parts) -> Self {
        if parts.store.is_shared() {
            parts.klarna.share_limits();
        }
        Self(Arc::new(parts))
    }

    /// No effect begins from now on; what is under way may end (failure-model, SIGTERM).
    pub fn close(&self) {
        self.closing.cancel();
        self.klarna.close();
    }

    /// Runs `work` on the main runtime, tracked; answers its result if that comes within the
    /// caller's patience, else `None`, and the work goes on.
    async fn patiently<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Option<T> {
        let task = if chaos::planted(Bug::ActixRuntime) {
            tokio::spawn(work)
        } else {
            self.tasks.spawn_on(work, &self.runtime)
        };
        match tokio::time::timeout(self.settings.patience, task).await {
            Ok(Ok(done)) => Some(done),
            // a panic is logged by the runtime's hook and healed by the job's lease, as a crash is
            Ok(Err(_)) | Err(_) => None,
        }
    }

    /// The same for what is done under a claim: it ends where its lease was lost. Boxed here, so that
    /// the caller's own future does not carry it.
    fn patiently_under<T: Send + 'static>(
        &self,
        claim: Claim,
        work: impl Future<Output = T> + Send + 'static,
    ) -> impl Future<Output = Option<T>> {
        let (store, work) = (self.store.clone(), Box::pin(work));
        async move {
            let held = async move { store.under(&claim, work).await };
            self.patiently(held).await.flatten()
        }
    }

    /// The job is done. A lost fence is no error: its successor decides.
    async fn finish(&self, claim: Claim) -> Result<(), Refusal> {
        self.store.write(move |tx| tx.done(&claim)).await?;
        Ok(())
    }

    /// The job comes again at `due`.
    async fn retry(&self, claim: Claim, due: Timestamp) -> Result<(), Refusal> {
        self.store
            .write(move |tx| tx.again(&claim, due, false))
            .await?;
        Ok(())
    }

    /// A link that this caller may know of.
    async fn visible(&self, caller: &Caller, id: LinkId) -> Result<Link, Refusal> {
        let link = self.store.read(move |tx| tx.link(id)).await?;
        link.filter(|link| sees(caller, link))
            .ok_or(Refusal::NotFound)
    }
}

/// Whether this caller may know of this link: by its role's reach, and of its own mode only.
fn sees(caller: &Caller, link: &Link) -> bool {
    link.mode == caller.mode && caller.sees_link(link)
}

impl Deref for House {
    type Target = Parts;
    fn deref(&self) -> &Parts {
        &self.0
    }
}

/// What a job's run came to; the worker needs nothing more of it than that it was written down.
pub(crate) async fn run(house: &House, claim: Claim) -> Result<(), Refusal> {
    match claim.job.kind {
        JobKind::Open => open::resume(house, claim).await,
        JobKind::Deliver => deliver::deliver(house, claim).await,
        JobKind::Disable => disable::insist(house, claim).await,
        JobKind::Abort => disable::abort(house, claim).await,
        JobKind::Watch => watch::watch(house, claim).await,
        JobKind::Settle => settle::settle(house, claim).await,
        JobKind::Expire => expire::expire(house, claim).await,
        JobKind::Operate => operate::insist(house, claim).await,
        JobKind::Remind => remind::remind(house, claim).await,
    }
}

/// The `n`th wait of a rising schedule; its last one for ever.
fn nth_wait(schedule: &[i64], n: i64) -> SignedDuration {
    let index = usize::try_from(n).unwrap_or(0).min(schedule.len() - 1);
    SignedDuration::from_secs(schedule[index])
}

/// `moment + wait`, at the calendar's end where that lies beyond it.
fn after(moment: Timestamp, wait: SignedDuration) -> Timestamp {
    moment.saturating_add(wait).unwrap_or(moment)
}

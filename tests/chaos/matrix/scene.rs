//! Four worlds side by side, one for each way in which a network is broken: single requests, closed
//! ports, no TLS, no names. Where the whole network is down, what only happens in the background is
//! made to wait before, so that it is under way when the network goes.
//!
//! A 401 at a create closes Klarna to creates for a minute, so each of the two comes last in a world.

use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::future::join_all;
use futures_util::stream::FuturesUnordered;
use tokio::sync::Semaphore;
use tokio::time::sleep;

use super::super::patient;
use super::super::proxy::{Fault, Proxy, Rule};
use super::cell::Begun;
use super::{Board, Ill, Step, no_cell};
use crate::outside::harness::http::Caller;
use crate::outside::harness::world::id;
use crate::outside::harness::{World, WorldPlan, sale};

/// How long the whole network is down when all has begun: a second try of most steps.
const DOWN: Duration = Duration::from_secs(4);
/// Looks at once. SQLite's readers have room for 64 that wait; beyond it the service is overloaded,
/// and that is another test's matter.
const LOOKS: usize = 12;
/// Between two looks at a cell.
const PAUSE: Duration = Duration::from_millis(500);
/// Cells of single requests under way at once, for the same reason.
const UNDER_WAY: usize = 40;

words!(Part {
    Single = "single requests",
    Refused = "closed ports",
    Tls = "no TLS",
    Dns = "no names",
});

/// What a world showed beside its cells.
#[derive(Default)]
pub struct Seen {
    pub measured: Vec<(String, String)>,
    pub broken: Vec<String>,
}

/// A world whose every way out leads through a proxy.
pub struct Scene {
    pub world: World,
    pub klarna: Proxy,
    pub sms: Proxy,
    pub mail: Proxy,
    pub agent: Caller,
    looks: Semaphore,
}

/// Plays one part to its end.
pub async fn played(part: Part, plan: WorldPlan, board: &Board) -> Seen {
    let scene = Scene::start(plan).await;
    let mut seen = Seen::default();
    match part {
        Part::Single => scene.single_faults(board, &mut seen).await,
        Part::Refused => scene.refused(board).await,
        Part::Tls => scene.without_tls(board, &mut seen).await,
        Part::Dns => scene.without_names(board, &mut seen).await,
    }
    let stderr = scene.world.stderr();
    board.keeps(part, &stderr);
    if let Some(at) = stderr.find("panicked") {
        let words: String = stderr[at..].chars().take(300).collect();
        seen.broken.push(format!("a panic: {words}"));
    }
    scene.world.drops_database().await;
    board.says(&format!("{}: over", part.word()));
    seen
}

impl Scene {
    async fn start(plan: WorldPlan) -> Self {
        let (klarna, sms, mail) = (Proxy::http(), Proxy::http(), Proxy::smtp());
        let plan = plan
            .with(
                "KLARNA_API_URL",
                &format!("http://127.0.0.1:{}", klarna.port),
            )
            .with("KLARNA_LINK_HOSTS", "127.0.0.1")
            .with(
                "SMS_HTTP_URL",
                &format!("http://127.0.0.1:{}/send", sms.port),
            )
            .with("SMS_HTTP_SUCCESS", "/state=ok")
            .with(
                "SMTP_URL",
                &format!("smtp://127.0.0.1:{}?tls=none", mail.port),
            )
            .with("PAYLINK_CHAOS_SMTP_MS", "5000");
        let world = plan.start().await;
        let port = world.klarna.base.rsplit(':').next().expect("a port");
        klarna.leads_to(port.parse().expect("a port"));
        sms.leads_to(world.sms.port);
        mail.leads_to(world.mail.port);
        // a connection for each call: one that is kept is found dead when the service has been away,
        // or when a starved client comes back to it too late
        let http = reqwest::Client::builder()
            .no_proxy()
            .pool_max_idle_per_host(0)
            .timeout(Duration::from_secs(40))
            .build()
            .expect("a client can be built");
        let agent = Caller {
            http,
            ..world.admin()
        };
        Self {
            world,
            klarna,
            sms,
            mail,
            agent,
            looks: Semaphore::new(LOOKS),
        }
    }

    /// Looks until there is something to see, at most so many seconds.
    pub async fn sees<T>(
        &self,
        seconds: u64,
        mut look: impl AsyncFnMut() -> Option<T>,
    ) -> Option<T> {
        let deadline = Instant::now() + Duration::from_secs(seconds);
        loop {
            let turn = self.looks.acquire().await;
            let seen = look().await;
            drop(turn);
            if seen.is_some() || Instant::now() > deadline {
                return seen;
            }
            sleep(PAUSE).await;
        }
    }

    async fn finish(&self, cells: Vec<Begun>, board: &Board) {
        let ends = |begun: Begun| async move { board.takes(begun.ends(self).await) };
        join_all(cells.into_iter().map(ends)).await;
    }

    async fn prepare(&self, wanted: Vec<(Step, Ill)>) -> Vec<Begun> {
        let made = wanted
            .into_iter()
            .map(|(step, ill)| Begun::prepared(self, step, ill));
        futures_util::stream::iter(made).buffered(8).collect().await
    }

    /// Healthy reads all the while: single faults must not look like an outage to the breaker.
    async fn pulses(&self) {
        join_all((0..4).map(|_| self.pulse())).await;
    }

    async fn pulse(&self) {
        let link = patient::open(&self.agent, &sale()).await;
        let path = format!("/v1/links/{}/refresh", id(&link));
        loop {
            self.agent.press(&path).await;
            sleep(Duration::from_millis(60)).await;
        }
    }

    /// All that a proxy can do, each to one request, all at once.
    async fn single_faults(&self, board: &Board, seen: &mut Seen) {
        let wanted = |mail: bool| {
            let all = super::all().filter(|&(step, ill)| {
                let later = step.creates() && ill == Ill::S401;
                !ill.is_connection() && !later && step.is_mail() == mail
            });
            all.collect()
        };
        let mails = self.prepare(wanted(true)).await;
        let others = self.prepare(wanted(false)).await;
        board.says("single requests: prepared");
        let mails = self.mails(mails).await;
        board.says("single requests: the mails are under way");
        let all_others = async {
            let mut under_way = FuturesUnordered::new();
            for mut begun in others {
                under_way.push(async move {
                    begun.begins(self).await;
                    begun.ends(self).await
                });
                // so that those that hang don't all end in one moment
                let pause = sleep(Duration::from_millis(120));
                tokio::pin!(pause);
                loop {
                    let room = under_way.len() < UNDER_WAY;
                    tokio::select! {
                        () = &mut pause, if room => break,
                        Some(cell) = under_way.next() => board.takes(cell),
                    }
                }
            }
            while let Some(cell) = under_way.next().await {
                board.takes(cell);
            }
        };
        tokio::select! {
            () = self.pulses() => unreachable!("a pulse has no end"),
            () = all_others => {}
        }
        let stderr = self.world.stderr();
        let opened = stderr.matches("klarna circuit open").count();
        let what = "breaker opened by single faults";
        seen.measured.push((what.to_owned(), opened.to_string()));
        board.says("single requests: all that is no mail is done");
        tokio::join!(
            self.no_access(Step::CreateOrder, board),
            self.finish(mails, board)
        );
    }

    /// Begins every mail. Who will get it is not known yet at EHLO: those that end by a refusal
    /// there come alone, one after the other. The others are all sent in the end, so it is no matter
    /// which of their greetings meets which of the faults; all at once, because a connection that
    /// has greeted serves the next mail, too.
    async fn mails(&self, mails: Vec<Begun>) -> Vec<Begun> {
        let (greetings, mut rest): (Vec<_>, Vec<_>) = mails
            .into_iter()
            .partition(|one| one.step == Step::SmtpEhlo);
        let (refusals, others): (Vec<_>, Vec<_>) = greetings
            .into_iter()
            .partition(|one| matches!(one.ill, Ill::S400 | Ill::S401 | Ill::S404 | Ill::S500));
        let mut begun = Vec::new();
        for mut one in refusals {
            one.begins(self).await;
            one.is_judged_once(self).await;
            begun.push(one);
        }
        let greet = |mut one: Begun| async move {
            one.begins(self).await;
            one.is_judged_once(self).await;
            one
        };
        begun.extend(join_all(others.into_iter().map(greet)).await);
        for one in &mut rest {
            one.begins(self).await;
        }
        begun.extend(rest);
        begun
    }

    /// The breaker is open for a minute afterwards.
    async fn no_access(&self, step: Step, board: &Board) {
        let mut cells = self.prepare(vec![(step, Ill::S401)]).await;
        join_all(cells.iter_mut().map(|begun| begun.begins(self))).await;
        self.finish(cells, board).await;
    }

    /// Every step that connection faults can be told apart at, ready to be begun.
    async fn ready(&self, ill: Ill) -> Vec<Begun> {
        let wanted = Step::ALL.iter().map(|&step| (step, ill));
        let wanted = wanted.filter(|&(step, ill)| no_cell(step, ill).is_none());
        self.prepare(wanted.collect()).await
    }

    async fn refused(&self, board: &Board) {
        let cells = self.ready(Ill::Refuse).await;
        let (session, mut cells): (Vec<_>, Vec<_>) = cells
            .into_iter()
            .partition(|one| one.step == Step::CreateSession);
        self.background_waits(&mut cells).await;
        // the order's answer takes its time, and when it is there the port is closed
        for mut begun in session {
            let words = ["POST /checkout/v3/orders HTTP", begun.reference.as_str()];
            let slow = Fault::Drip(Duration::from_secs(2));
            self.klarna.arm(Rule::new(&words, slow));
            let orders = self.klarna.passed_with(&["POST /checkout/v3/orders"]).len();
            let closed = async {
                while self.klarna.passed_with(&["POST /checkout/v3/orders"]).len() == orders {
                    sleep(Duration::from_millis(10)).await;
                }
                sleep(Duration::from_millis(200)).await;
                self.klarna.refuses().await;
            };
            tokio::join!(begun.begins(self), closed);
            cells.push(begun);
        }
        self.klarna.refuses().await;
        self.sms.refuses().await;
        self.mail.refuses().await;
        board.says("closed ports: closed");
        self.begin_the_rest(&mut cells).await;
        sleep(DOWN).await;
        self.klarna.accepts();
        self.sms.accepts();
        self.mail.accepts();
        self.heal(&cells);
        board.says("closed ports: open again");
        self.finish(cells, board).await;
        self.no_access(Step::CreateSession, board).await;
    }

    /// What nobody waits for begins, and can't end before [`Scene::heal`].
    async fn background_waits(&self, cells: &mut [Begun]) {
        let background = cells.iter_mut().filter(|one| one.step.is_background());
        join_all(background.map(|begun| begun.waits(self))).await;
    }

    /// What has not begun yet, side by side; of a message, until it was tried.
    async fn begin_the_rest(&self, cells: &mut [Begun]) {
        let rest = cells.iter_mut().filter(|one| !one.works);
        join_all(rest.map(|begun| begun.begins_unruled(self))).await;
    }

    fn heal(&self, cells: &[Begun]) {
        for begun in cells {
            begun.heals(self);
        }
    }

    /// Plain text is spoken where TLS is expected.
    async fn without_tls(&self, board: &Board, seen: &mut Seen) {
        let mut cells = self.ready(Ill::Tls).await;
        self.background_waits(&mut cells).await;
        // well ended, so that no message is between its first byte and its answer
        self.world.stops();
        self.world.comes_back_with(&[
            (
                "KLARNA_API_URL",
                &format!("https://127.0.0.1:{}", self.klarna.port),
            ),
            (
                "SMS_HTTP_URL",
                &format!("https://127.0.0.1:{}/send", self.sms.port),
            ),
            ("SMTP_URL", &format!("smtps://127.0.0.1:{}", self.mail.port)),
        ]);
        board.says("no TLS: gone");
        self.begin_the_rest(&mut cells).await;
        sleep(DOWN).await;
        self.world.stops();
        for (proxy, name) in [(&self.klarna, "Klarna"), (&self.sms, "the SMS gateway")] {
            let met = proxy.passed_with(&["TLS"]).len();
            let what = format!("handshakes that {name} did not understand");
            if met == 0 {
                seen.broken.push(format!("no {what}"));
            }
            seen.measured.push((what, met.to_string()));
        }
        self.heal(&cells);
        self.world.comes_back();
        board.says("no TLS: back");
        self.finish(cells, board).await;
    }

    /// No name is known. A Klarna that is not on this machine makes the service a live one, which no
    /// key of a test reaches: so everything waits already when the names go.
    async fn without_names(&self, board: &Board, seen: &mut Seen) {
        let mut cells = self.ready(Ill::Dns).await;
        // operations last: their fifth wait is five minutes
        let operates = |one: &&mut Begun| matches!(one.step, Step::Capture | Step::Refund);
        let (last, first): (Vec<_>, Vec<_>) = cells.iter_mut().partition(operates);
        for some in [first, last] {
            join_all(some.into_iter().map(|begun| begun.waits(self))).await;
        }
        self.world.stops();
        self.world.comes_back_with(&[
            ("KLARNA_API_URL", "https://klarna.invalid"),
            ("PAYLINK_PUBLIC_URL", "https://pay.example.com"),
            ("SMS_HTTP_URL", "https://sms.invalid/send"),
            ("SMTP_URL", "smtp://mail.invalid:2525?tls=required"),
        ]);
        board.says("no names: gone");
        // longer than the back-off that the first tries have left
        sleep(2 * DOWN).await;
        let ended = self.world.stops();
        let met = ended.stderr.matches("no connection").count();
        let what = "calls to Klarna without a name";
        if met == 0 {
            seen.broken.push(format!("no {what}"));
        }
        seen.measured.push((what.to_owned(), met.to_string()));
        self.heal(&cells);
        self.world.comes_back();
        board.says("no names: back");
        self.finish(cells, board).await;
    }
}

//! The demo in a real browser: what a newcomer clicks in the first minute. Needs `chromedriver` and
//! Chromium; is skipped without them, unless `PAYLINK_TEST_BROWSER=1` says that they must be there.

mod driver;

use std::io::{BufRead, BufReader, Lines};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};

use driver::{Driver, Fault, Session};

/// `paylink demo` while it runs.
struct Demo {
    process: Child,
    desk: String,
    // held: the demo must be able to write to it
    _said: Lines<BufReader<ChildStderr>>,
    folder: PathBuf,
}

impl Demo {
    fn start() -> Self {
        let name = format!("browser-{}", std::process::id());
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        let mut process = Command::new(env!("CARGO_BIN_EXE_paylink"))
            .args(["demo", "--listen", "127.0.0.1:0", "--data"])
            .arg(&folder)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the demo starts");
        let stderr = process.stderr.take().expect("it is piped");
        let mut said = BufReader::new(stderr).lines();
        let desk = said
            .by_ref()
            .map_while(Result::ok)
            .find_map(|line| {
                let (_, place) = line.split_once("The shop and its buyer are at")?;
                Some(place.trim().to_owned())
            })
            .expect("the demo says where to click");
        Self {
            process,
            desk,
            _said: said,
            folder,
        }
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

#[tokio::test]
async fn a_newcomer_sells_pays_and_sees_paid_without_a_reload() {
    let Some(driver) = Driver::start() else {
        let must = std::env::var("PAYLINK_TEST_BROWSER").is_ok_and(|it| it == "1");
        assert!(
            !must,
            "PAYLINK_TEST_BROWSER=1, but there is no chromedriver"
        );
        eprintln!("skipped: there is no chromedriver");
        return;
    };
    let demo = Demo::start();
    let session = driver.session().await.expect("a browser opens");
    let seen = first_minute(&session, &demo.desk).await;
    // the browser goes before anything may fail: it would outlive the test
    let closed = session.close().await;
    seen.expect("the first minute goes well");
    closed.expect("the browser closes");
}

async fn first_minute(browser: &Session, desk: &str) -> Result<(), Fault> {
    let shop = browser.window().await?;
    browser.open(desk).await?;
    browser
        .press("//button[.='Create and send a link']")
        .await?;
    let row = "//tr[@data-key][contains(., 'SO-')]";
    browser.see(row).await?;
    browser.run("window.untouched = true").await?;

    browser.switch(&browser.new_window().await?).await?;
    browser.open(&format!("{desk}inbox")).await?;
    browser.press("//a[starts-with(@href, '/mails/')]").await?;
    browser.enter("//iframe").await?;
    browser
        .press("//a[starts-with(normalize-space(.), 'Pay £500.00')]")
        .await?;
    browser.leave().await?;
    browser
        .press("//button[starts-with(., 'Pay 500.00')]")
        .await?;
    browser
        .see("//h1[contains(., 'your payment went through')]")
        .await?;

    browser.switch(&shop).await?;
    browser
        .see(&format!("{row}//span[normalize-space(.)='Paid']"))
        .await?;
    browser
        .see("//*[@role='status'][contains(., ': Paid')]")
        .await?;
    assert_eq!(browser.run("return window.untouched").await?, true);
    let complaints = browser.complaints().await?;
    assert_eq!(complaints, Vec::<String>::new());
    Ok(())
}

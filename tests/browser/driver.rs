//! WebDriver (W3C) as far as one story needs it. The browser does the waiting: an element that is
//! looked for may take `PATIENCE` to appear.

use std::error::Error;
use std::io::{BufRead, BufReader, Lines};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use reqwest::{Client, Method};
use serde_json::{Value, json};

pub type Fault = Box<dyn Error>;

/// How long an element may take to appear, in milliseconds.
const PATIENCE: u32 = 6_000;
/// What a call may take, with a browser's start or a page's load in it.
const LONGEST: Duration = Duration::from_secs(15);
/// The name under which an element's id comes, WebDriver 12.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// `chromedriver` while it runs.
pub struct Driver {
    process: Child,
    base: String,
    // held: the driver must be able to write to it
    _said: Lines<BufReader<ChildStdout>>,
    profile: PathBuf,
    http: Client,
}

impl Driver {
    /// Starts it on a free port; `None` where it is not installed.
    pub fn start() -> Option<Self> {
        let mut process = Command::new("chromedriver")
            .arg("--port=0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let stdout = process.stdout.take()?;
        let mut said = BufReader::new(stdout).lines();
        let port: u16 = said
            .by_ref()
            .map_while(Result::ok)
            .find_map(|line| {
                let (_, port) = line.split_once("started successfully on port ")?;
                port.trim_end_matches('.').parse().ok()
            })
            .expect("chromedriver says its port");
        // nothing here is encrypted, but a client asks for the means when it is made
        drop(rustls::crypto::ring::default_provider().install_default());
        let http = Client::builder()
            .no_proxy()
            .timeout(LONGEST)
            .build()
            .expect("a plain client");
        let name = format!("profile-{}", std::process::id());
        Some(Self {
            process,
            base: format!("http://127.0.0.1:{port}/session"),
            _said: said,
            profile: Path::new(env!("CARGO_TARGET_TMPDIR")).join(name),
            http,
        })
    }

    /// Opens a browser with a fresh profile.
    pub async fn session(&self) -> Result<Session, Fault> {
        let profile = format!("--user-data-dir={}", self.profile.display());
        let options = json!({"args": [
            "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-quic",
            "--no-first-run", "--disable-background-networking", "--disable-component-update",
            "--disable-sync", "--window-size=1280,900", profile,
        ]});
        let wanted = json!({"capabilities": {"alwaysMatch": {
            "goog:chromeOptions": options,
            "goog:loggingPrefs": {"browser": "ALL"},
            "timeouts": {"implicit": PATIENCE, "pageLoad": 10_000, "script": 5_000},
        }}});
        let begun = call(&self.http, Method::POST, &self.base, &wanted).await?;
        let id = begun["sessionId"].as_str().ok_or("no session id")?;
        Ok(Session {
            base: format!("{}/{id}", self.base),
            http: self.http.clone(),
        })
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = std::fs::remove_dir_all(&self.profile);
    }
}

/// One browser. Elements are named by XPath.
pub struct Session {
    base: String,
    http: Client,
}

impl Session {
    async fn post(&self, path: &str, body: Value) -> Result<Value, Fault> {
        let address = format!("{}{path}", self.base);
        call(&self.http, Method::POST, &address, &body).await
    }

    /// Loads a page.
    pub async fn open(&self, url: &str) -> Result<(), Fault> {
        self.post("/url", json!({"url": url})).await.map(drop)
    }

    /// Waits for an element and answers its id.
    pub async fn see(&self, xpath: &str) -> Result<String, Fault> {
        let asked = json!({"using": "xpath", "value": xpath});
        let found = self.post("/element", asked).await?;
        Ok(found[ELEMENT].as_str().ok_or("no element id")?.to_owned())
    }

    /// Clicks on an element.
    pub async fn press(&self, xpath: &str) -> Result<(), Fault> {
        let element = self.see(xpath).await?;
        let path = format!("/element/{element}/click");
        self.post(&path, json!({})).await.map(drop)
    }

    /// Goes into a frame.
    pub async fn enter(&self, xpath: &str) -> Result<(), Fault> {
        let element = self.see(xpath).await?;
        let frame = json!({"id": {ELEMENT: element}});
        self.post("/frame", frame).await.map(drop)
    }

    /// Back to the whole window.
    pub async fn leave(&self) -> Result<(), Fault> {
        self.post("/frame", json!({"id": null})).await.map(drop)
    }

    /// Runs a script in the page.
    pub async fn run(&self, script: &str) -> Result<Value, Fault> {
        let asked = json!({"script": script, "args": []});
        self.post("/execute/sync", asked).await
    }

    /// The window in use.
    pub async fn window(&self) -> Result<String, Fault> {
        let address = format!("{}/window", self.base);
        let handle = call(&self.http, Method::GET, &address, &Value::Null).await?;
        Ok(handle.as_str().ok_or("no window")?.to_owned())
    }

    /// Opens a second window.
    pub async fn new_window(&self) -> Result<String, Fault> {
        let made = self.post("/window/new", json!({"type": "tab"})).await?;
        Ok(made["handle"].as_str().ok_or("no window")?.to_owned())
    }

    /// Uses that window.
    pub async fn switch(&self, handle: &str) -> Result<(), Fault> {
        self.post("/window", json!({"handle": handle}))
            .await
            .map(drop)
    }

    /// What the browser's console holds: policies broken, things not found, scripts that failed.
    pub async fn complaints(&self) -> Result<Vec<String>, Fault> {
        let log = self.post("/se/log", json!({"type": "browser"})).await?;
        let lines = log.as_array().ok_or("no log")?.iter();
        Ok(lines
            .filter(|line| line["level"] != "INFO" && line["level"] != "DEBUG")
            .map(|line| line["message"].to_string())
            .collect())
    }

    /// Closes the browser.
    pub async fn close(self) -> Result<(), Fault> {
        call(&self.http, Method::DELETE, &self.base, &Value::Null)
            .await
            .map(drop)
    }
}

async fn call(http: &Client, method: Method, url: &str, body: &Value) -> Result<Value, Fault> {
    let mut request = http.request(method.clone(), url);
    if method == Method::POST {
        request = request.json(body);
    }
    let mut answer: Value = request.send().await?.json().await?;
    let value = answer["value"].take();
    match value.get("error") {
        Some(error) => Err(format!("{error} {} at {body}", value["message"]).into()),
        None => Ok(value),
    }
}

//! The file that holds the secret beside an SQLite database when `PAYLINK_SECRET` is not given
//! (`contract.md`, Personal data). It is never overwritten: a lost key is a lost database, so
//! whatever stands at its path is either the key or a fault.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::{KeyFault, MasterKey};
use crate::random::Random;

/// The key, and whether it was made just now (then the caller says so, once, on stderr).
#[derive(Debug)]
pub struct KeyFile {
    /// The secret in the file.
    pub key: MasterKey,
    /// The file did not exist before.
    pub created: bool,
    /// Where it is: back it up, apart from the database.
    pub path: PathBuf,
}

impl KeyFile {
    /// The key file of an SQLite database: `<database file>.key`.
    pub fn beside(database: &Path) -> PathBuf {
        let mut path = database.as_os_str().to_owned();
        path.push(".key");
        path.into()
    }

    /// Reads the key at `path`, or makes one there with mode 0600. Where two processes make it at
    /// once, both get the key of the one that was first.
    pub fn open_or_create(path: &Path, random: &Random) -> Result<Self, KeyFileError> {
        match read(path) {
            Err(KeyFileError {
                kind: Kind::Read(cause),
                ..
            }) if cause.kind() == io::ErrorKind::NotFound => {}
            other => return other.map(|key| Self::found(key, path)),
        }
        let key = MasterKey::random(random);
        match create(path, &key, random) {
            Ok(()) => Ok(Self {
                key,
                created: true,
                path: path.to_owned(),
            }),
            Err(cause) if cause.kind() == io::ErrorKind::AlreadyExists => {
                read(path).map(|key| Self::found(key, path))
            }
            Err(cause) => Err(KeyFileError::new(path, Kind::Create(cause))),
        }
    }

    fn found(key: MasterKey, path: &Path) -> Self {
        Self {
            key,
            created: false,
            path: path.to_owned(),
        }
    }
}

fn read(path: &Path) -> Result<MasterKey, KeyFileError> {
    let fault = |kind| KeyFileError::new(path, kind);
    let file = File::open(path).map_err(|cause| fault(Kind::Read(cause)))?;
    let meta = file.metadata().map_err(|cause| fault(Kind::Read(cause)))?;
    if !meta.is_file() {
        return Err(fault(Kind::NotAFile));
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = meta.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(fault(Kind::Permissions(mode)));
        }
    }
    // a key is 44 characters; a wrong path must not read a huge file into memory
    let mut text = Zeroizing::new(String::with_capacity(256));
    file.take(256)
        .read_to_string(&mut text)
        .map_err(|cause| match cause.kind() {
            io::ErrorKind::InvalidData => fault(Kind::Content(KeyFault::NotBase64)),
            _ => fault(Kind::Read(cause)),
        })?;
    MasterKey::parse(&text).map_err(|cause| fault(Kind::Content(cause)))
}

/// Written in full under a name of its own and only then linked to `path`: nobody ever reads half
/// a key, and `link` (unlike `rename`) fails where something is there already.
fn create(path: &Path, key: &MasterKey, random: &Random) -> io::Result<()> {
    let mut draft = path.as_os_str().to_owned();
    draft.push(format!(".{}", random.uuid().simple()));
    let draft = PathBuf::from(draft);
    let made = write_new(&draft, key).and_then(|()| fs::hard_link(&draft, path));
    // the draft is a second copy of the secret: it goes, whatever became of the link
    let gone = fs::remove_file(&draft);
    made?;
    gone?;
    sync_folder(path)
}

fn write_new(path: &Path, key: &MasterKey) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    let mut file = options.open(path)?;
    file.write_all(key.to_base64().as_bytes())?;
    file.write_all(b"\n")?;
    file.sync_all()
}

/// The name must survive a power cut as surely as the bytes: rows sealed under a key whose name was
/// lost are lost with it.
fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    File::open(folder)?.sync_all()
}

/// Why there is no key to work with; says what the operator can do.
#[derive(Debug)]
pub struct KeyFileError {
    path: PathBuf,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Read(io::Error),
    Create(io::Error),
    NotAFile,
    /// The mode that it has.
    Permissions(u32),
    Content(KeyFault),
}

impl KeyFileError {
    fn new(path: &Path, kind: Kind) -> Self {
        Self {
            path: path.to_owned(),
            kind,
        }
    }
}

impl fmt::Display for KeyFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        match &self.kind {
            Kind::Read(_) => write!(
                f,
                "cannot read the key file {path}: let this user read it, or set PAYLINK_SECRET"
            ),
            Kind::Create(_) => write!(
                f,
                "cannot create the key file {path}: let this user write to its folder, or set PAYLINK_SECRET"
            ),
            Kind::NotAFile => write!(
                f,
                "the key file {path} is not a file: move it away, or set PAYLINK_SECRET"
            ),
            Kind::Permissions(mode) => write!(
                f,
                "the key file {path} has mode {mode:04o} and can be read by others: run `chmod 600 {path}`"
            ),
            Kind::Content(_) => write!(
                f,
                "the key file {path} does not hold 32 bytes in base64: restore it from its backup"
            ),
        }
    }
}

impl std::error::Error for KeyFileError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.kind {
            Kind::Read(cause) | Kind::Create(cause) => Some(cause),
            Kind::Content(cause) => Some(cause),
            Kind::NotAFile | Kind::Permissions(_) => None,
        }
    }
}

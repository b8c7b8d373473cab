//! Commands that cannot be run, and no daemon to ask.

use anyhow::Result;
use testbed::{Lab, Options};

use super::furnished;
use crate::state;

#[test]
fn commands_that_cannot_be_run_leave_nothing() -> Result<()> {
    let lab = furnished()?;
    let host = lab.host(1);
    let dir = lab.dir().display().to_string();
    std::fs::write(lab.dir().join("text"), "no program\n")?;
    let before = (state::dump(&lab)?, state::machine(host)?);
    for (words, code, sentence) in [
        (
            "run --publish-service x.dev -- /no/such/command",
            127,
            "cannot run /no/such/command: no such file",
        ),
        (
            "run --publish-service x.dev -- no-such-command",
            127,
            "cannot run no-such-command: no command of that name is in a directory of PATH",
        ),
        (
            "run --publish-service x.dev -- DIR/text",
            126,
            "cannot run DIR/text: it is not an executable file, or you may not run it",
        ),
        (
            "run --publish-service x.fresh -- no-such-command",
            127,
            "cannot run no-such-command: no command of that name is in a directory of PATH",
        ),
        (
            "exec s1 -- no-such-command",
            127,
            "cannot run no-such-command: no command of that name is in a directory of PATH",
        ),
        (
            "exec s1 -- DIR/text",
            126,
            "cannot run DIR/text: it is not an executable file, or you may not run it",
        ),
    ] {
        let (words, sentence) = (words.replace("DIR", &dir), sentence.replace("DIR", &dir));
        let output = host.netctl(words.split(' '))?;
        assert_eq!(
            (output.code(), &*output.stderr),
            (code, &*format!("error: {sentence}\n")),
            "{words}"
        );
    }
    assert_eq!(before, (state::dump(&lab)?, state::machine(host)?));
    for (words, code) in
        [("run --rm --publish-service x.dev -- sh -c exit\u{a0}7", 7), ("run --rm -- false", 1)]
    {
        let words: Vec<String> = words.split(' ').map(|word| word.replace('\u{a0}', " ")).collect();
        assert_eq!(host.netctl(&words)?.code(), code);
    }
    assert_eq!(before, (state::dump(&lab)?, state::machine(host)?));
    lab.end()
}

#[test]
fn without_a_daemon_the_code_is_3() -> Result<()> {
    let lab = Lab::start(Options { hosts: 1, daemons: false, ..Options::default() })?;
    let host = lab.host(1);
    for words in [
        "network ls",
        "network create x",
        "status",
        "fdb",
        "sandbox rm s1",
        "run --publish-service a.b -- true",
        "exec s1 -- true",
    ] {
        let output = host.netctl(words.split(' '))?;
        assert_eq!(
            (output.code(), output.stderr),
            (
                3,
                format!(
                    "error: netctl daemon cannot be reached at {}: No such file or directory (os error 2); \
                     start it with `netctl daemon`, or name its socket with --socket\n",
                    host.socket().display()
                )
            ),
            "{words}"
        );
    }
    lab.end()
}

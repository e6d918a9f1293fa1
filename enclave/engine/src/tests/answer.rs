//! Characters and stop strings across token boundaries.

use crate::answer::Answer;
use adyton_guardrail::Text;

/// Pushes pieces and returns what was let out at each, with `!` where a stop string ended it.
fn run(stops: &[&str], pieces: &[&[u8]]) -> Vec<String> {
    finish(Answer::new(stops.iter().map(|s| Text::from(*s)).collect(), false), pieces)
}

fn finish(mut answer: Answer, pieces: &[&[u8]]) -> Vec<String> {
    let mut out = Vec::new();
    for piece in pieces {
        let piece = answer.push(piece);
        out.push(piece.text.expose().to_owned() + if piece.stopped { "!" } else { "" });
        if piece.stopped {
            return out;
        }
    }
    let rest = answer.finish();
    out.push(rest.text.expose().to_owned() + if rest.stopped { "!" } else { "" });
    out
}

#[test]
fn characters_leave_whole() {
    assert_eq!(run(&[], &[b"a", b"\xf0\x9f", b"\x98", b"\x80b"]), ["a", "", "", "😀b", ""]);
    assert_eq!(run(&[], &[b"\xc3", b"x"]), ["", "\u{fffd}x", ""]);
    assert_eq!(run(&[], &[b"\xff", b"ok"]), ["\u{fffd}", "ok", ""]);
    assert_eq!(run(&[], &[b"a\xe2\x82"]), ["a", "\u{fffd}"]);
}

#[test]
fn stop_strings_never_leave() {
    assert_eq!(run(&["END"], &[b"one E", b"N", b"D two"]), ["one ", "", "!"]);
    assert_eq!(run(&["END"], &[b"one E", b"N", b"d"]), ["one ", "", "ENd", ""]);
    assert_eq!(run(&["aab"], &[b"a", b"a", b"a", b"b"]), ["", "", "a", "!"]);
    assert_eq!(run(&["xyz", "bc"], &[b"abcxyz"]), ["a!"]);
    assert_eq!(run(&["\n\n"], &[b"a\n", b"b\n", b"\n"]), ["a", "\nb", "!"]);
    assert_eq!(run(&["é"], &[b"a\xc3", b"\xa9b"]), ["a", "!"]);
    assert_eq!(run(&["END"], &[b"E", b"N"]), ["", "", "EN"]);
    assert_eq!(run(&["\u{fffd}"], &[b"a\xc3"]), ["a", "!"]);
}

#[test]
fn the_vocabularys_first_space_is_left_out_once() {
    let stripped = |pieces: &[&[u8]]| finish(Answer::new(vec![], true), pieces).concat();
    assert_eq!(stripped(&[b" Hello", b" world"]), "Hello world");
    assert_eq!(stripped(&[b"", b"  two"]), " two");
    assert_eq!(stripped(&[b"\n", b" x"]), "\n x");
    assert_eq!(stripped(&[b" ", b" x"]), " x");
    assert_eq!(stripped(&[b"\xe2", b"\x98\x83"]), "\u{2603}");
    assert_eq!(run(&[], &[b" Hello"]).concat(), " Hello");
}

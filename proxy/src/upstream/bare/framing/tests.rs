use http::HeaderMap;

use super::*;

/// Takes all pieces out of the bytes, which come in reads of this length, and then end.
fn taken(mut framing: Framing, bytes: &[u8], read: usize) -> (String, Option<HeaderMap>, Result<(), InvalidBody>) {
    let (mut data, mut trailers, mut rest, mut reads) = (Vec::new(), None, BytesMut::new(), bytes.chunks(read));
    let ended = loop {
        match framing.take(&mut rest) {
            Err(error) => break Err(error),
            Ok(Piece::Data(piece)) => data.extend_from_slice(&piece),
            Ok(Piece::Trailers(fields)) => trailers = Some(fields),
            Ok(Piece::End) => break Ok(()),
            Ok(Piece::More) => match reads.next() {
                Some(bytes) => rest.extend_from_slice(bytes),
                None => {
                    if let Err(error) = framing.end() {
                        break Err(error);
                    }
                }
            },
        }
    };
    assert_eq!(ended.is_ok(), framing.is_over());
    (String::from_utf8_lossy(&data).into_owned(), trailers, ended)
}

#[test]
fn bodies_end_where_their_framing_says_however_they_are_read() {
    let chunked = || Framing::Chunked(Chunk::Size);
    let long_line = format!("1;{}\r\n", "x".repeat(LONGEST_SIZE_LINE));
    for (framing, bytes, expected, ended) in [
        (Framing::Over, "more", "", Ok(())),
        (Framing::Length(0), "more", "", Ok(())),
        (Framing::Length(5), "hello", "hello", Ok(())),
        (Framing::Length(5), "hello and more", "hello", Ok(())),
        (Framing::Length(6), "hello", "hello", Err(InvalidBody::Incomplete)),
        (Framing::Close, "hello", "hello", Ok(())),
        (Framing::Close, "", "", Ok(())),
        (chunked(), "5\r\nhello\r\n0\r\n\r\n", "hello", Ok(())),
        (chunked(), "2\r\nhe\r\n03 ; a=\"b\r\"\r\nllo\r\n0;c\r\n\r\nmore", "he", Err(InvalidBody::Size)),
        (chunked(), "2\r\nhe\r\n03 ; a=\"b\"\r\nllo\r\n000;c\r\n\r\nmore", "hello", Ok(())),
        (chunked(), "0\r\n\r\n", "", Ok(())),
        (chunked(), "5\r\nhello\r\n0\r\n", "hello", Err(InvalidBody::Incomplete)),
        (chunked(), "5\r\nhello\r\n", "hello", Err(InvalidBody::Incomplete)),
        (chunked(), "5\r\nhel", "hel", Err(InvalidBody::Incomplete)),
        (chunked(), "4\r\nhello\r\n0\r\n\r\n", "hell", Err(InvalidBody::Chunk)),
        (chunked(), "\r\n", "", Err(InvalidBody::Size)),
        (chunked(), " 5\r\nhello\r\n", "", Err(InvalidBody::Size)),
        (chunked(), "5\nhello\r\n", "", Err(InvalidBody::Size)),
        (chunked(), "5;a\nb\r\nhello\r\n0\r\n\r\n", "", Err(InvalidBody::Size)),
        (chunked(), "-5\r\nhello\r\n", "", Err(InvalidBody::Size)),
        (chunked(), "0x5\r\nhello\r\n", "", Err(InvalidBody::Size)),
        (chunked(), "11111111111111111\r\n", "", Err(InvalidBody::Size)),
        (chunked(), &long_line, "", Err(InvalidBody::LongLine)),
    ] {
        for read in [1, 2, 3, 1000] {
            if bytes.len() > 1000 && read < 1000 {
                continue;
            }
            assert_eq!(taken(framing.clone(), bytes.as_bytes(), read), (expected.to_owned(), None, ended), "{bytes} by {read}");
        }
    }
}

#[test]
fn trailers_come_after_the_last_chunk() {
    let chunked = || Framing::Chunked(Chunk::Size);
    for read in [1, 2, 7, 1000] {
        let (data, trailers, ended) = taken(chunked(), b"1\r\na\r\n0\r\nX-Sum:  1 \r\nx-sum: 2\r\ngrpc-status: 0\r\n\r\n", read);
        let trailers: Vec<_> = trailers.iter().flatten().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
        assert_eq!((data.as_str(), ended), ("a", Ok(())));
        assert_eq!(trailers, [("x-sum", &b"1"[..]), ("x-sum", b"2"), ("grpc-status", b"0")]);
    }
    for malformed in ["0\r\nno field\r\n\r\n", "0\r\na: b\n\r\n", "0\r\na: b\r\n\n", "0\r\n\n"] {
        assert_eq!(taken(chunked(), malformed.as_bytes(), 1000).2, Err(InvalidBody::Trailers), "{malformed}");
    }
    let many: String = (0..=MOST_TRAILERS).map(|at| format!("a{at}: b\r\n")).collect();
    assert_eq!(taken(chunked(), format!("0\r\n{many}\r\n").as_bytes(), 1000).2, Err(InvalidBody::Trailers));
    let large = format!("0\r\na: {}", "b".repeat(LARGEST_TRAILERS));
    assert_eq!(taken(chunked(), large.as_bytes(), 1000).2, Err(InvalidBody::LargeTrailers));
}

#[test]
fn what_is_to_come_is_known_where_it_is() {
    for (framing, exact) in
        [(Framing::Over, Some(0)), (Framing::Length(7), Some(7)), (Framing::Close, None), (Framing::Chunked(Chunk::Size), None)]
    {
        assert_eq!(framing.size_hint().exact(), exact, "{framing:?}");
    }
}

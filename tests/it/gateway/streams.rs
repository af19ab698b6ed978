//! Bodies on their way through.

use super::*;
use axum::routing::any;
use bytes::Bytes;
use http_body::Frame;
use http_body_util::StreamBody;
use std::convert::Infallible;
use tokio::sync::mpsc::{self, UnboundedSender};

/// A body that is made of what is sent to it.
fn fed() -> (UnboundedSender<&'static str>, Body) {
    let (feed, mut fed) = mpsc::unbounded_channel::<&'static str>();
    let frames = futures_util::stream::poll_fn(move |cx| {
        fed.poll_recv(cx)
            .map(|data| data.map(|data| Ok::<_, Infallible>(Frame::data(Bytes::from(data)))))
    });
    (feed, Body::new(StreamBody::new(frames)))
}

async fn echo(request: Request<Body>) -> Body {
    request.into_body()
}

/// Each piece is sent only when the one before came back: a gateway that holds one back hangs.
#[tokio::test]
async fn both_bodies_stream_without_waiting_for_more() {
    bounded(async {
        let (gateway, _server) = before(Router::new().fallback(any(echo)), &[]).await;
        let (feed, body) = fed();
        feed.send("first").unwrap();
        let request = Request::post(format!("http://{}/", gateway.addr)).body(body).unwrap();
        let client = crate::wire::client(crate::wire::Version::H1);
        let mut answer = client.request(request).await.unwrap().into_body();
        for (piece, next) in [("first", "second"), ("second", "third"), ("third", "")] {
            let frame = answer.frame().await.unwrap().unwrap();
            assert_eq!(frame.into_data().unwrap(), piece);
            feed.send(next).unwrap();
        }
        drop(feed);
        assert!(answer.frame().await.is_none());
    })
    .await;
}

#[tokio::test]
async fn a_body_beyond_the_replay_limit_goes_through_whole() {
    bounded(async {
        let options = ["--replay-limit", "1KiB"];
        let (gateway, _server) = before(Router::new().fallback(any(echo)), &options).await;
        let long: Vec<u8> = (0..1_000_000_u32).map(|i| (i.wrapping_mul(i) >> 7) as u8).collect();
        let request = Request::put(format!("http://{}/", gateway.addr));
        let request = request.body(Body::from(long.clone())).unwrap();
        let client = crate::wire::client(crate::wire::Version::H1);
        let answer = client.request(request).await.unwrap();
        assert!(answer.into_body().collect().await.unwrap().to_bytes() == long);
    })
    .await;
}

/// A9
#[tokio::test]
async fn an_answer_is_let_go_when_its_caller_has_gone() {
    bounded(async {
        let (gone, mut is_gone) = mpsc::unbounded_channel::<()>();
        let endless = any(move || {
            let gone = gone.clone();
            async move {
                let mut first = true;
                let frames = futures_util::stream::poll_fn(move |_| {
                    // held as long as the body is
                    let _ = &gone;
                    let data = Ok::<_, Infallible>(Frame::data(Bytes::from_static(b"data")));
                    if std::mem::take(&mut first) {
                        return std::task::Poll::Ready(Some(data));
                    }
                    std::task::Poll::Pending
                });
                Body::new(StreamBody::new(frames))
            }
        });
        let (gateway, server) = before(Router::new().fallback(endless), &[]).await;
        let request =
            Request::get(format!("http://{}/", gateway.addr)).body(Body::empty()).unwrap();
        let client = crate::wire::client(crate::wire::Version::H1);
        let mut answer = client.request(request).await.unwrap().into_body();
        assert_eq!(answer.frame().await.unwrap().unwrap().into_data().unwrap(), "data");
        assert_eq!(gateway.status().await["endpoints"][0]["in_flight"], 1);
        drop(answer);
        // what remains is the server's own copy
        drop(server);
        assert!(is_gone.recv().await.is_none());
        while gateway.status().await["endpoints"][0]["in_flight"] != 0 {
            sleep(ms(5)).await;
        }
    })
    .await;
}

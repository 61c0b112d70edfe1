// From typed handlers to what is served: bytes or a stream of bytes in, a stream of bytes out.
#pragma once

#include <concepts>
#include <cstdint>
#include <functional>
#include <memory>
#include <type_traits>
#include <utility>
#include <variant>

#include <fmt/format.h>

#include "stator/codec/payload.hpp"
#include "stator/pipeline/annotated.hpp"
#include "stator/pipeline/context.hpp"
#include "stator/runtime/stream_ops.hpp"
#include "stator/runtime/task.hpp"
#include "stator/transport/call_shape.hpp"

namespace stator::inline component {

/// Serves requests of one message. Called on the loop of the request's connection, for several
/// requests and on several loops at a time: what it captures must be safe for that.
using RawHandler = std::function<Stream<Bytes>(Context, Bytes, PayloadCodec)>;

/// Serves requests that are streams. Each item that it takes lets the caller send another; what it
/// does not take stays with the caller, but for a window of credit. `next` of the input yields
/// nothing once the caller has closed its half, and throws `cancelled` when the caller killed the
/// call or is gone. The end of the answer ends the call, whatever has come of the input.
using RawInputHandler = std::function<Stream<Bytes>(Context, Stream<Bytes>, PayloadCodec)>;

/// What an endpoint serves, and how: one of the two, and the shape that it was written for. Callers
/// must agree with it about the request (one, or a stream); the answer of a handler that gives many
/// items may be asked for the first of them only, and that of a unary one read as a stream.
class Handler {
public:
    template <class F>
        requires std::constructible_from<RawHandler, F>
    Handler(F raw, transport::CallShape shape = transport::CallShape::server_streaming)
        : raw_{RawHandler{std::move(raw)}}, shape_{shape} {}
    template <class F>
        requires(std::constructible_from<RawInputHandler, F> &&
                 !std::constructible_from<RawHandler, F>)
    Handler(F raw, transport::CallShape shape = transport::CallShape::bidirectional)
        : raw_{RawInputHandler{std::move(raw)}}, shape_{shape} {}

    transport::CallShape shape() const noexcept { return shape_; }
    /// Its items are encoded Annotated objects: on Dynamo's planes these are not wrapped once more.
    bool annotated() const noexcept { return annotated_; }
    Handler&& with_annotated_items(bool annotated) && noexcept {
        annotated_ = annotated;
        return std::move(*this);
    }
    Stream<Bytes> operator()(Context context, Bytes request, PayloadCodec codec) const {
        return std::get<RawHandler>(raw_)(std::move(context), std::move(request), codec);
    }
    Stream<Bytes> operator()(Context context, Stream<Bytes> input, PayloadCodec codec) const {
        return std::get<RawInputHandler>(raw_)(std::move(context), std::move(input), codec);
    }

private:
    std::variant<RawHandler, RawInputHandler> raw_;
    transport::CallShape shape_;
    bool annotated_ = false;
};

namespace detail {

template <class T>
struct ReplyOf;  // a handler returns Stream<Out> or Task<Out>
template <class Out>
struct ReplyOf<Stream<Out>> {
    using Item = Out;
    static constexpr bool streaming = true;
};
template <class Out>
struct ReplyOf<Task<Out>> {
    using Item = Out;
    static constexpr bool streaming = false;
};

template <class T>
struct RequestOf {  // a handler takes In or Stream<In>
    using Request = T;
    static constexpr bool streamed_request = false;
};
template <class In>
struct RequestOf<Stream<In>> {
    using Request = In;
    static constexpr bool streamed_request = true;
};

template <class Signature>
struct HandlerOf;
template <class Reply, class In>
struct HandlerOf<Reply(Context, In)> : ReplyOf<Reply>, RequestOf<std::remove_cvref_t<In>> {};

template <class F>
struct SignatureOf : SignatureOf<decltype(&F::operator())> {};
template <class R, class... A>
struct SignatureOf<R (*)(A...)> : HandlerOf<R(A...)> {};
template <class R, class F, class... A>
struct SignatureOf<R (F::*)(A...)> : HandlerOf<R(A...)> {};
template <class R, class F, class... A>
struct SignatureOf<R (F::*)(A...) const> : HandlerOf<R(A...)> {};

/// The item as bytes; throws what the codec says against it.
template <class T>
Bytes encoded(T item, PayloadCodec codec) {
    auto bytes = Payload<T>::encode(item, codec);
    if (!bytes) throw bytes.error().with_context("encoding a payload");
    return std::move(*bytes);
}

template <class T>
T decoded(const Bytes& bytes, PayloadCodec codec) {
    auto value = Payload<T>::decode(bytes, codec);
    if (!value) throw value.error().with_context("decoding a payload");
    return std::move(*value);
}

/// The items of a stream of payloads. What cannot be decoded is named by its place.
template <class T>
Stream<T> decoded_items(Stream<Bytes> items, PayloadCodec codec) {
    return transformed(std::move(items), [codec, index = std::uint64_t{0}](Bytes item) mutable {
        auto value = Payload<T>::decode(item, codec);
        if (!value) throw value.error().with_context(fmt::format("decoding item {}", index));
        ++index;
        return std::move(*value);
    });
}

template <class T>
Stream<Bytes> encoded_items(Stream<T> items, PayloadCodec codec) {
    return transformed(std::move(items), [codec](T item) {
        return encoded(std::move(item), codec);
    });
}

/// What the handler is given: the request, or the stream of them.
template <class In>
In decoded_request(Bytes request, PayloadCodec codec) {
    return decoded<In>(request, codec);
}
template <class In>
Stream<In> decoded_request(Stream<Bytes> input, PayloadCodec codec) {
    return decoded_items<In>(std::move(input), codec);
}

/// `request` is Bytes or Stream<Bytes>, as the handler has it.
template <class F, class Request>
Stream<Bytes> serve_typed(
    std::shared_ptr<const F> handler, Context context, Request request, PayloadCodec codec
) {
    using Signature = SignatureOf<F>;
    using In = typename Signature::Request;
    auto reply =
        (*handler)(std::move(context), decoded_request<In>(std::exchange(request, {}), codec));
    if constexpr (Signature::streaming) {
        std::exception_ptr failure;
        try {
            while (auto item = co_await reply.next()) co_yield encoded(std::move(*item), codec);
        } catch (...) {
            failure = std::current_exception();
        }
        if (!failure) co_return;
        // The handler may own tasks: they end before it does.
        co_await shielded(reply.close());
        std::rethrow_exception(failure);
    } else {
        co_yield encoded(co_await std::move(reply), codec);
    }
}

template <class F>
constexpr transport::CallShape shape_of() noexcept {
    using enum transport::CallShape;
    if (SignatureOf<F>::streamed_request)
        return SignatureOf<F>::streaming ? bidirectional : client_streaming;
    return SignatureOf<F>::streaming ? server_streaming : unary;
}

}  // namespace detail

/// A handler has one of four forms, for the four shapes of a call:
///
///     Task<Out>(Context, In)            unary
///     Stream<Out>(Context, In)          server streaming
///     Task<Out>(Context, Stream<In>)    client streaming
///     Stream<Out>(Context, Stream<In>)  bidirectional
///
/// It is a function, a lambda (its captures live as long as the endpoint), or any object with one
/// call operator. In must be Decodable, Out Encodable. For streams of In see RawInputHandler; an
/// item that cannot be decoded comes out of its `next` as `invalid_request`, naming its place.
template <class F>
Handler make_handler(F handler) {
    using Signature = detail::SignatureOf<F>;
    static_assert(
        Decodable<typename Signature::Request>, "the request type has no Payload<T>::decode"
    );
    static_assert(Encodable<typename Signature::Item>, "the item type has no Payload<T>::encode");
    using Request = std::conditional_t<Signature::streamed_request, Stream<Bytes>, Bytes>;
    auto raw = [handler = std::make_shared<const F>(std::move(handler)
                )](Context context, Request request, PayloadCodec codec) {
        return detail::serve_typed<F, Request>(
            handler, std::move(context), std::move(request), codec
        );
    };
    return Handler{std::move(raw), detail::shape_of<F>()}
        .with_annotated_items(is_annotated<typename Signature::Item>);
}

}  // namespace stator::inline component

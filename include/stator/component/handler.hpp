// From typed handlers to what is served: bytes in, a stream of bytes out.
#pragma once

#include <functional>
#include <memory>
#include <type_traits>
#include <utility>

#include "stator/codec/payload.hpp"
#include "stator/pipeline/context.hpp"
#include "stator/runtime/stream.hpp"
#include "stator/runtime/task.hpp"

namespace stator::inline component {

/// What an endpoint serves. Called on the loop of the request's connection, for several requests
/// and on several loops at a time: what it captures must be safe for that.
using RawHandler = std::function<Stream<Bytes>(Context, Bytes, PayloadCodec)>;

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

template <class Signature>
struct HandlerOf;
template <class Reply, class In>
struct HandlerOf<Reply(Context, In)> : ReplyOf<Reply> {
    using Request = std::remove_cvref_t<In>;
};

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

template <class F>
Stream<Bytes> serve_typed(
    std::shared_ptr<const F> handler, Context context, Bytes request, PayloadCodec codec
) {
    using Signature = SignatureOf<F>;
    using In = typename Signature::Request;
    if constexpr (Signature::streaming) {
        auto items = (*handler)(std::move(context), decoded<In>(std::exchange(request, {}), codec));
        while (auto item = co_await items.next()) co_yield encoded(std::move(*item), codec);
    } else {
        auto reply = (*handler)(std::move(context), decoded<In>(std::exchange(request, {}), codec));
        co_yield encoded(co_await std::move(reply), codec);
    }
}

}  // namespace detail

/// A handler is `Stream<Out>(Context, In)` or `Task<Out>(Context, In)`: a function, a lambda (its
/// captures live as long as the endpoint), or any object with one call operator. In must be
/// Decodable, Out Encodable.
template <class F>
RawHandler make_handler(F handler) {
    using Signature = detail::SignatureOf<F>;
    static_assert(
        Decodable<typename Signature::Request>, "the request type has no Payload<T>::decode"
    );
    static_assert(Encodable<typename Signature::Item>, "the item type has no Payload<T>::encode");
    return [handler = std::make_shared<const F>(std::move(handler)
            )](Context context, Bytes request, PayloadCodec codec) {
        return detail::serve_typed<F>(handler, std::move(context), std::move(request), codec);
    };
}

}  // namespace stator::inline component

// migrate: an answer that breaks off goes on at another instance.
#pragma once

#include <concepts>
#include <cstddef>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

#include "stator/base/backoff.hpp"
#include "stator/pipeline/annotated.hpp"
#include "stator/pipeline/failed_instances.hpp"
#include "stator/pipeline/operator.hpp"
#include "stator/runtime/stream_ops.hpp"

namespace stator::inline pipeline {

/// Whether an error says that the instance was lost or leaves, and nothing of the request: its
/// class is `disconnected`, `unavailable` or `draining`.
bool is_migratable(const Error& error) noexcept;

struct MigrationPolicy {
    int limit = 0;  ///< how often one request may move
    /// A longer answer does not move any more, and what was kept of it is given up.
    std::size_t max_items = 32'768;
    /// Between attempts of which none has answered; after one that has, the next is made at once.
    BackoffPolicy backoff{std::chrono::milliseconds{10}, std::chrono::seconds{1}};
    std::function<bool(const Error&)> migratable = is_migratable;
    /// Whether this request may move; none: every request may. Only the caller knows.
    std::function<bool(const Context&)> replayable{};
};

namespace detail {

/// The attempts at one request: whether there is another one, and when.
class Moves {
public:
    Moves(const MigrationPolicy& policy, Context context);

    /// The context of the next attempt.
    Context begin();
    bool left() const noexcept { return left_ > 0; }
    bool allowed(const Error& error) const;
    /// Counts and logs a move after `items` of the answer.
    void move(const Error& error, std::size_t items, bool answered);
    /// Until the next attempt is due; false: the request has been stopped.
    Task<bool> due();

private:
    const MigrationPolicy* policy_;
    Context context_;
    Backoff backoff_;
    int left_;
    std::shared_ptr<FailedInstances> failed_ = std::make_shared<FailedInstances>();
    std::size_t failed_before_ = 0;
    bool wait_ = false;
};

/// What to ask for after a part of the answer; nothing: that part was all of it.
template <class In>
using Rest = Result<std::optional<In>>;

template <class In, class Item>
struct Migration {
    MigrationPolicy policy;
    std::function<Rest<In>(const In&, std::span<const Item>)> rest;
};

/// One request on its way, and what its answer was so far.
template <class In, class Item>
class Journey {
public:
    Journey(std::shared_ptr<const Migration<In, Item>> how, Context context, In request)
        : how_{std::move(how)},
          moves_{how_->policy, std::move(context)},
          request_{std::move(request)} {}

    std::pair<Context, In> begin() {
        answered_ = false;
        return {moves_.begin(), rest_ ? std::move(*rest_) : request_};
    }
    void keep(const Item& item) {
        answered_ = true;
        ++items_;
        if (items_ > how_->policy.max_items || !moves_.left()) {
            kept_ = {};
        } else {
            kept_.push_back(item);
        }
    }
    /// Whether the answer goes on after that; then `whole` or `due` say how.
    bool goes_on(const Error& error) {
        if (kept_.size() != items_ || !moves_.allowed(error)) return false;
        if (items_ > 0) {
            auto rest = how_->rest(request_, std::span<const Item>{kept_});
            if (!rest) return false;
            rest_ = std::move(*rest);
            whole_ = !rest_;
        }
        if (!whole_) moves_.move(error, items_, answered_);
        return true;
    }
    /// The error, if the answer goes on after it.
    std::optional<Error> moved_by(Error error) {
        return goes_on(error) ? std::optional{std::move(error)} : std::nullopt;
    }
    bool whole() const noexcept { return whole_; }
    Task<bool> due() { return moves_.due(); }

private:
    std::shared_ptr<const Migration<In, Item>> how_;
    Moves moves_;
    In request_;
    std::optional<In> rest_;
    std::vector<Item> kept_;
    std::size_t items_ = 0;
    bool answered_ = false;
    bool whole_ = false;
};

template <class In, class Out>
class MigrateOperator final : public Operator<In, Out, In, Out> {
    static_assert(
        !single_reply<Out>, "an answer of one item does not move: it is asked for again by retry"
    );
    static_assert(
        std::copy_constructible<In> && std::copy_constructible<Out>,
        "what moves is asked twice, and its items are kept: both are copied"
    );
    using How = std::shared_ptr<const Migration<In, Out>>;

public:
    explicit MigrateOperator(Migration<In, Out> how)
        : how_{std::make_shared<const Migration<In, Out>>(std::move(how))} {}

    Stream<Out> generate(Context context, In request, Engine<In, Out> next) override {
        const auto& policy = how_->policy;
        if (policy.limit <= 0 || (policy.replayable && !policy.replayable(context)))
            return next.generate(std::move(context), std::move(request));
        return run({how_, std::move(context), std::move(request)}, std::move(next));
    }

private:
    /// Whether an item is an error after which the answer goes on elsewhere.
    static std::optional<Error> moved_by(Journey<In, Out>& journey, const Out& item) {
        if constexpr (is_annotated<Out>) {
            if (auto good = item.ok(); !good) return journey.moved_by(std::move(good.error()));
        }
        return std::nullopt;
    }

    static Stream<Out> run(Journey<In, Out> journey, Engine<In, Out> next) {
        for (;;) {
            auto [context, request] = journey.begin();
            auto items = next.generate(context, std::move(request));
            std::exception_ptr ended_early;
            std::optional<Error> failure;
            try {
                while (auto item = co_await items.next()) {
                    failure = moved_by(journey, *item);
                    if (failure) break;
                    journey.keep(*item);
                    co_yield std::move(*item);
                }
                if (!failure) co_return;
            } catch (...) {
                ended_early = std::current_exception();
                failure = journey.moved_by(to_error(ended_early));
            }
            if (failure) context.kill(CancelReason::peer_gone);
            // Gone before anybody else is asked.
            co_await shielded(items.close());
            if (!failure) std::rethrow_exception(ended_early);
            if (journey.whole()) co_return;
            if (!co_await journey.due()) throw *failure;
        }
    }

    How how_;
};

template <class F>
struct MigrateStage {
    MigrationPolicy policy;
    F rest;
    template <class In, class Out>
    auto bind() && {
        static_assert(
            std::is_invocable_r_v<Rest<In>, F&, const In&, std::span<const Out>>,
            "migrate: what is left to ask for is made of the request and the items so far"
        );
        return MigrateOperator<In, Out>{{std::move(policy), std::move(rest)}};
    }
};

}  // namespace detail

/// An answer whose instance is lost, or leaves, before its end goes on at another one: whoever
/// reads it sees each item once, in order, and one end.
///
/// `rest(request, items)` makes the request for what is left after those items; nothing (an empty
/// optional) if nothing is, an error if it cannot be asked for: then the answer ends with the
/// failure. It is a function of (const In&, std::span<const Out>), called on several loops.
/// A request that has had no item is asked again as it is.
///
/// Each attempt has a context of its own (Context::attempt), and routers pass over the instances
/// that have failed it; when an attempt was accepted by nobody, they may be asked again. Nothing
/// moves once the caller has stopped, killed or closed it, or its deadline has passed.
template <class F>
auto migrate(MigrationPolicy policy, F rest) {
    return detail::MigrateStage<F>{std::move(policy), std::move(rest)};
}

}  // namespace stator::inline pipeline

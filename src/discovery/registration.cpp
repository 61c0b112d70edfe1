#include "stator/discovery/registration.hpp"

#include "discovery/registration_shared.hpp"
#include "stator/runtime/timer.hpp"

namespace stator::discovery {

std::string_view to_string(RegistrationState state) noexcept {
    switch (state) {
        case RegistrationState::registering:
            return "registering";
        case RegistrationState::registered:
            return "registered";
        case RegistrationState::recovering:
            return "recovering";
        case RegistrationState::deleted:
            return "deleted";
    }
    return "unknown";
}

RegistrationState Registration::state() const noexcept { return shared_->get(); }

std::shared_ptr<const Instance> Registration::instance() const {
    const std::lock_guard guard{shared_->lock};
    return shared_->instance;
}

std::string Registration::key() const { return shared_->key; }

Task<> Registration::update(Instance changed) const {
    return [](std::shared_ptr<Shared> shared, Instance next) -> Task<> {
        if (next.key() != shared->key) {
            throw Error{
                ErrorCode::invalid_request, "registration.identity", "a record of another instance"
            };
        }
        if (auto valid = next.check(); !valid) throw valid.error();
        if (shared->get() == RegistrationState::deleted) {
            throw Error{
                ErrorCode::invalid_request, "registration.deleted", "the record was taken back"
            };
        }
        auto record = to_record(next);
        if (!record) throw record.error();
        co_await shared->store->put(shared->key, std::move(*record), shared->lease);
        const std::lock_guard guard{shared->lock};
        shared->instance = std::make_shared<const Instance>(std::move(next));
    }(shared_, std::move(changed));
}

Task<bool> Registration::unpublish(Deadline deadline) const {
    return [](std::shared_ptr<Shared> shared, Deadline until) -> Task<bool> {
        shared->set(RegistrationState::deleted);
        {
            const std::lock_guard guard{shared->lock};
            if (shared->removal_confirmed) co_return true;
        }
        const auto removed =
            co_await as_result(with_deadline(until, shared->store->remove(shared->key)));
        if (!removed && removed.error().code() == ErrorCode::cancelled) throw removed.error();
        const std::lock_guard guard{shared->lock};
        shared->removal_confirmed = removed.has_value();
        co_return shared->removal_confirmed;
    }(shared_, deadline);
}

Task<RegistrationState> Registration::wait_for_change(RegistrationState seen) const {
    return [](std::shared_ptr<Shared> shared, RegistrationState from) -> Task<RegistrationState> {
        for (;;) {
            const auto version = shared->changed.version();
            if (const auto state = shared->get(); state != from) co_return state;
            (void)co_await shared->changed.wait_past(version);
        }
    }(shared_, seen);
}

}  // namespace stator::discovery

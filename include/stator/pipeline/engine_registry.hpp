// EngineRegistry: engines of any types by name.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <typeindex>
#include <utility>
#include <vector>

#include "stator/base/error.hpp"
#include "stator/pipeline/engine.hpp"

namespace stator::inline pipeline {

/// An engine whose types have been forgotten, and can be asked for. A cheap copyable value.
class AnyEngine {
public:
    template <class In, class Out>
    AnyEngine(Engine<In, Out> engine)
        : engine_{std::make_shared<const Engine<In, Out>>(std::move(engine))},
          request_{typeid(In)},
          response_{typeid(Out)} {}

    /// The engine, if these are its types.
    template <class In, class Out>
    std::optional<Engine<In, Out>> downcast() const {
        if (request_ != typeid(In) || response_ != typeid(Out)) return std::nullopt;
        return *static_cast<const Engine<In, Out>*>(engine_.get());
    }

    std::type_index request_type() const noexcept { return request_; }
    std::type_index response_type() const noexcept { return response_; }

private:
    std::shared_ptr<const void> engine_;
    std::type_index request_;
    std::type_index response_;
};

/// Thread-safe.
class EngineRegistry {
public:
    /// Errors: `already_exists` "pipeline.engine_exists".
    Result<void> add(std::string name, AnyEngine engine);
    /// False when there is none.
    bool remove(std::string_view name);
    std::vector<std::string> names() const;

    /// Errors: `not_found` "pipeline.no_engine".
    Result<AnyEngine> find(std::string_view name) const;
    /// Errors: as above, and `invalid_request` "pipeline.engine_type", naming both types.
    template <class In, class Out>
    Result<Engine<In, Out>> get(std::string_view name) const {
        auto any = find(name);
        if (!any) return std::unexpected{std::move(any.error())};
        if (auto engine = any->downcast<In, Out>()) return std::move(*engine);
        return std::unexpected{wrong_type(name, *any, typeid(In), typeid(Out))};
    }

private:
    static Error wrong_type(
        std::string_view name, const AnyEngine& engine, std::type_index in, std::type_index out
    );

    mutable std::mutex lock_;
    std::map<std::string, AnyEngine, std::less<>> engines_;
};

}  // namespace stator::inline pipeline

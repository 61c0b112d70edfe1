#include "cli/chosen_store.hpp"

#include <chrono>
#include <utility>

#include "stator/runtime/combinators.hpp"
#include "stator/store/nats_store.hpp"

namespace stator::cli {

namespace {

/// For taking along what was written.
constexpr Duration close_time = std::chrono::seconds{5};

ChosenStore discovery_store(const DistributedRuntime& cluster) {
    ChosenStore chosen{.runtime = cluster.runtime(), .store = cluster.discovery().store()};
    if (chosen.store->backend() != "etcd") return chosen;
    chosen.put_lasting = [client = cluster.etcd_client()](std::string key, std::string value) {
        return [](store::EtcdClient etcd, std::string to, std::string what) -> Task<std::uint64_t> {
            const auto written = co_await etcd.put(std::move(to), std::move(what));
            co_return static_cast<std::uint64_t>(written.mod_revision);
        }(client, std::move(key), std::move(value));
    };
    return chosen;
}

store::NatsStoreOptions options_of(const StoreChoice& choice, nats::ClientOptions client) {
    store::NatsStoreOptions options;
    options.client = std::move(client);
    options.bucket = choice.bucket;
    options.create = choice.create;
    if (choice.lasting) options.ttl = Duration::zero();
    return options;
}

Task<std::optional<Failure>> work_on_bucket(
    Runtime runtime, store::NatsStoreOptions options, StoreWork* work
) {
    const auto opened =
        co_await store::NatsStore::open(runtime.secondary().loop(0), std::move(options));
    ChosenStore chosen{.runtime = std::move(runtime), .store = opened};
    if (opened->ttl() == Duration::zero()) {
        chosen.put_lasting = [opened](std::string key, std::string value) {
            return opened->put_lasting(std::move(key), std::move(value));
        };
    }
    auto outcome = co_await as_result((*work)(std::move(chosen)));
    co_await shielded(opened->close(Deadline::in(close_time)));
    if (!outcome) throw std::move(outcome.error());
    co_return std::move(*outcome);
}

}  // namespace

int run_with_store(const StoreChoice& choice, Manners manners, StoreWork work) {
    if (!choice.nats) {
        manners.looks_only = true;
        return run_in_cluster(manners, [&](const DistributedRuntime& cluster) {
            return work(discovery_store(cluster));
        });
    }
    return run_in_runtime(manners, [&](Runtime runtime, const settings::Settings& settings) {
        auto client = nats::ClientOptions::from_settings(settings.nats);
        if (!client) throw client.error();
        return work_on_bucket(std::move(runtime), options_of(choice, std::move(*client)), &work);
    });
}

}  // namespace stator::cli

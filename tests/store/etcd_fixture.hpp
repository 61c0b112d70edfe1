// What the tests of the etcd store share.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "stator/store/etcd_store.hpp"
#include "tests/store/party.hpp"
#include "tests/store/store_fixture.hpp"
#include "tests/support/etcd_server.hpp"

namespace stator::test {

using store::EtcdOptions;
using store::EtcdStore;
using EtcdStorePtr = std::shared_ptr<EtcdStore>;

inline Task<EtcdStorePtr> open_store(Loop* loop, EtcdOptions options) {
    co_return co_await EtcdStore::open(*loop, std::move(options));
}

struct Party : PartyOf<EtcdStore> {
    explicit Party(EtcdOptions options)
        : PartyOf{[&](Loop& loop) { return open_store(&loop, std::move(options)); }} {}
};

/// Bounds so short that a test that waits for one of them is short.
inline EtcdOptions quick(std::vector<std::string> endpoints) {
    EtcdOptions options;
    options.endpoints = std::move(endpoints);
    options.startup_timeout = 10s;
    options.call_timeout = 2s;
    return options;
}

/// Until etcd answers, for a party that saw it gone.
inline Task<> until_reachable(store::EtcdClient client) {
    const auto until = Deadline::in(patience);
    while (!co_await as_result(client.status()))
        require(!until.passed(), "etcd does not come back");
}

/// Follows `watch` until its view has `key` (or has it not); the view's size then.
inline Task<std::size_t> until_known(store::Watch* watch, std::string key, bool there = true) {
    std::map<std::string, std::string> view;
    for (;;) {
        const auto event = co_await next_event(watch);
        if (event.kind == store::WatchEvent::Kind::snapshot) view.clear();
        for (const auto& entry : event.entries) view[entry.key] = entry.value;
        if (event.kind == store::WatchEvent::Kind::put) view[event.entry.key] = event.entry.value;
        if (event.kind == store::WatchEvent::Kind::removed) view.erase(event.entry.key);
        if (view.contains(key) == there) co_return view.size();
    }
}

}  // namespace stator::test

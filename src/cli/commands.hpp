// The commands. Each returns the exit status of the process.
#pragma once

#include "cli/arguments.hpp"

namespace stator::cli {

int serve(const ServeArguments& arguments);
int call(const CallArguments& arguments);
int bench(const BenchArguments& arguments);
int list(const ListArguments& arguments);
int watch(const WatchArguments& arguments);
int doctor(const DoctorArguments& arguments);
int kv(const KvArguments& arguments);
int lock(const LockArguments& arguments);
int barrier(const BarrierArguments& arguments);
int events(const EventArguments& arguments);
int control(const ControlArguments& arguments);
int nats_info(const NatsInfoArguments& arguments);
int nats_object(const ObjectArguments& arguments);
int show_config(const ConfigArguments& arguments);

/// The whole program.
int run(int argc, const char* const* argv);

}  // namespace stator::cli

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
int show_config(const ConfigArguments& arguments);

/// The whole program.
int run(int argc, const char* const* argv);

}  // namespace stator::cli

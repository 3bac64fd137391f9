// Work on threads, whose results are used one after the other.

#ifndef SKPOT_IN_ORDER_H
#define SKPOT_IN_ORDER_H

#include <atomic>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

namespace skpot {

// Calls work(thread, k) for k = 0 ... n - 1 on several threads, and after it finish(thread, k), for
// one k at a time and in their order, so that sums over k do not depend on the number of threads.
// What the first k throws is thrown here; nothing is finished after it.
template <class Work, class Finish>
void in_order(int n_threads, int n, Work work, Finish finish)
{
  std::atomic<int> next{0};
  std::mutex mutex;
  std::condition_variable turn;
  std::exception_ptr failure;
  int done = 0;

  const auto run = [&](int thread) {
    for (int k = next++; k < n; k = next++) {
      std::exception_ptr problem;
      try {
        work(thread, k);
      } catch (...) {
        problem = std::current_exception();
      }
      std::unique_lock<std::mutex> lock(mutex);
      turn.wait(lock, [&] { return done == k; });
      if (!failure) try {
          if (problem) std::rethrow_exception(problem);
          finish(thread, k);
        } catch (...) {
          failure = std::current_exception();
          next = n;
        }
      done++;
      turn.notify_all();
    }
  };

  std::vector<std::thread> others;
  for (int thread = 1; thread < n_threads && thread < n; thread++)
    others.emplace_back(run, thread);
  run(0);
  for (std::thread &other : others) other.join();
  if (failure) std::rethrow_exception(failure);
}

}    // namespace skpot

#endif

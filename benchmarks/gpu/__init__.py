"""What `benchmarks.first_hour` measures on a device, a part in each module.

The function of a part is given the arguments of the command, what keeps a finding under a name as
soon as it is there, and what tells how many seconds are left. It raises InputError where the device
is not there, and NotRunError where there is nothing to run.
"""

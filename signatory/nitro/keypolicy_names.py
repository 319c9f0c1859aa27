"""The names that key policies are written with: condition keys and actions of KMS.

Sources: KMS Developer Guide, "Condition keys for Nitro Enclaves"; Service Authorization Reference, "AWS KMS".
"""

IMAGE_KEY = "kms:RecipientAttestation:ImageSha384"
"""Equal to PCR0."""

PCR_KEY = "kms:RecipientAttestation:PCR"
CONTEXT_KEY = "kms:EncryptionContext:"
CONTEXT_KEYS = "kms:EncryptionContextKeys"

RECIPIENT_ACTIONS = ("kms:Decrypt", "kms:GenerateDataKey")
"""What an enclave does with its key under attestation. GenerateRandom uses no key."""

ADMIN_ACTIONS = (
    "kms:CancelKeyDeletion",
    "kms:Describe*",
    "kms:Disable*",
    "kms:Enable*",
    "kms:Get*",
    "kms:List*",
    "kms:PutKeyPolicy",
    "kms:RotateKeyOnDemand",
    "kms:ScheduleKeyDeletion",
    "kms:TagResource",
    "kms:UntagResource",
    "kms:UpdateKeyDescription",
)
"""What administrators do: manage the key. They cannot use it, nor give it on by a grant."""

NEVER_FOR_THE_ROLE = (
    "kms:CreateGrant",  # a grant opens the key past this policy's conditions
    "kms:DeleteImportedKeyMaterial",  # all sealed keys would be lost
    "kms:DisableKey",  # the same, until somebody notices
    "kms:Encrypt",  # takes no attestation: the parent would seal secrets that it knows
    "kms:GenerateDataKeyPair*",  # data keys that this product never asks for
    "kms:GenerateDataKeyWithoutPlaintext",  # takes no attestation
    "kms:ImportKeyMaterial",  # key material that somebody outside of KMS knows
    "kms:PutKeyPolicy",
    "kms:ReEncrypt*",  # moves a ciphertext under another key or into another context, without attestation
    "kms:ReplicateKey",  # the copy in another region has a policy of its own
    "kms:ScheduleKeyDeletion",  # all sealed keys would be lost
)
"""Denied to the enclave's role, which is its parent's too, whatever IAM policies and grants say."""

ACTIONS = (
    "kms:CancelKeyDeletion",
    "kms:ConnectCustomKeyStore",
    "kms:CreateAlias",
    "kms:CreateCustomKeyStore",
    "kms:CreateGrant",
    "kms:CreateKey",
    "kms:Decrypt",
    "kms:DeleteAlias",
    "kms:DeleteCustomKeyStore",
    "kms:DeleteImportedKeyMaterial",
    "kms:DeriveSharedSecret",
    "kms:DescribeCustomKeyStores",
    "kms:DescribeKey",
    "kms:DisableKey",
    "kms:DisableKeyRotation",
    "kms:DisconnectCustomKeyStore",
    "kms:EnableKey",
    "kms:EnableKeyRotation",
    "kms:Encrypt",
    "kms:GenerateDataKey",
    "kms:GenerateDataKeyPair",
    "kms:GenerateDataKeyPairWithoutPlaintext",
    "kms:GenerateDataKeyWithoutPlaintext",
    "kms:GenerateMac",
    "kms:GenerateRandom",
    "kms:GetKeyPolicy",
    "kms:GetKeyRotationStatus",
    "kms:GetParametersForImport",
    "kms:GetPublicKey",
    "kms:ImportKeyMaterial",
    "kms:ListAliases",
    "kms:ListGrants",
    "kms:ListKeyPolicies",
    "kms:ListKeyRotations",
    "kms:ListKeys",
    "kms:ListResourceTags",
    "kms:ListRetirableGrants",
    "kms:PutKeyPolicy",
    "kms:ReEncryptFrom",
    "kms:ReEncryptTo",
    "kms:ReplicateKey",
    "kms:RetireGrant",
    "kms:RevokeGrant",
    "kms:RotateKeyOnDemand",
    "kms:ScheduleKeyDeletion",
    "kms:Sign",
    "kms:SynchronizeMultiRegionKey",
    "kms:TagResource",
    "kms:UntagResource",
    "kms:UpdateAlias",
    "kms:UpdateCustomKeyStore",
    "kms:UpdateKeyDescription",
    "kms:UpdatePrimaryRegion",
    "kms:Verify",
    "kms:VerifyMac",
)
"""Every action of KMS that a policy can name, for comparing patterns with lists."""
